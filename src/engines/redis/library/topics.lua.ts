/** Topic functions of the library. */
export const TOPICS_LUA: string = String.raw`
`;
