/** Record functions of the library. */
export const RECORDS_LUA: string = String.raw`
`;
