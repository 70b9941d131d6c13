/**
 * Calls a listener of the user's. What it throws is reported as an uncaught exception of the program, as with any event listener, and breaks
 * nothing here.
 */
export function notify<T>(listener: ((value: T) => void) | undefined, value: T): void {
  try {
    listener?.(value);
  } catch (thrown) {
    queueMicrotask(() => {
      throw thrown;
    });
  }
}
