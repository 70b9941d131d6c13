/** Lease functions of the library. Written by part C. */
export const LEASES_LUA: string = String.raw`
`;
