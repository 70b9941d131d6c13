/** Functions of the library about shards themselves: adoption, claims. */
export const SHARDS_LUA: string = String.raw`
`;
