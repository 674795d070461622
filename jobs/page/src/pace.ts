/** Fewer points while the map moves, where a computer without a graphics card draws it. */

const SLOW = 40;
const FAST = 16;
/** A picture that took longer was not waited for: the tab was out of sight. */
const LONGEST = 2000;
const MOST = 32;
const REST = 170;
/** Of the last picture in the mean time of one. */
const WEIGHT = 0.4;

/** Watches how long pictures take while the map moves. Times are in milliseconds. */
export class Pace {
  /** One point of so many is drawn while the map moves. */
  every = 1;
  private mean = FAST;
  private timer = 0;

  /** `rested` is called some time after the last movement. */
  constructor(private readonly rested: () => void) {}

  /** The map has moved, in a picture that is being drawn; how long it holds up the next one is its time. */
  moved(): void {
    const begin = performance.now();
    window.clearTimeout(this.timer);
    this.timer = window.setTimeout(this.rested, REST);
    requestAnimationFrame(() => this.took(performance.now() - begin));
  }

  private took(time: number): void {
    if (time > LONGEST) return;
    this.mean += WEIGHT * (time - this.mean);
    if (this.mean <= SLOW || this.every >= MOST) return;
    this.every = Math.min(MOST, this.every * 2);
    this.mean = FAST;
  }
}
