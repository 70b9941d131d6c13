/** The lease that is the right to be active. */
export const ROLE_LEASE = 'active';
