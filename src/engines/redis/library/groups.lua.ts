/** Group functions of the library. Written by part C. */
export const GROUPS_LUA: string = String.raw`
`;
