/** Who may do what. Rights are per topic, by exact name or a pattern with a final `*`; `admin` has no topic. */
export type Right = 'publish' | 'subscribe' | 'consume' | 'admin';

export interface Identity {
  /** For logs; never the token. */
  readonly name: string;
  may(right: Right, topic?: string): boolean;
}

export interface Authenticator {
  /** False: everybody is `anonymous` and may do everything. */
  readonly isRequired: boolean;
  /** Compares in constant time. Throws TANDEM_AUTH_REQUIRED (undefined while required), TANDEM_AUTH_INVALID. */
  authenticate(token: string | undefined): Identity;
}
