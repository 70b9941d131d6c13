/** How much the process says: TANDEM_LOG_LEVEL, inherited by the workers. Outside the config, since it is wanted before that is read. */
import { LOG_LEVELS, type LogLevel } from './logger.ts';

/** Anything but a level means `info`. */
export function logLevel(environment: { readonly [name: string]: string | undefined } = process.env): LogLevel {
  return LOG_LEVELS.find((level) => level === environment['TANDEM_LOG_LEVEL']) ?? 'info';
}
