/** Remembers which number it has in a trail. */
export interface TrailOrigin {
  /** The trail (segment-trail.ts) in which it has the number. */
  trail: object | undefined;
  trailOrigin: number;
}
