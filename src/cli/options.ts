/** Options that several commands share, and the one way a command is run. */
import { type Command, Option } from 'commander';
import { exitCodeOf } from './exit-codes.ts';
import type { ServerOptions } from './server.ts';
import { printError } from './terminal.ts';

export const DEFAULT_URL = 'http://127.0.0.1:9500';

export interface OutputOptions {
  readonly json?: boolean;
}

export interface ClientOptions extends OutputOptions {
  /** Several are separated by commas. */
  readonly url: string;
  readonly adminUrl: string;
  readonly token?: string;
}

function urlOption(): Option {
  const given: string[] = [];
  return new Option('--url <url>', 'HTTP listener of the server; several (again, or with commas) are tried in turn')
    .env('TANDEM_URL')
    .default(DEFAULT_URL)
    .argParser((url) => {
      given.push(url);
      return given.join(',');
    });
}
/** Where nodes of one machine that share a default config are. */
const DEFAULT_ADMIN_URLS = [9510, 9511, 9512].map((port) => `http://127.0.0.1:${port}`);

const adminUrlOption = (): Option =>
  new Option('--admin-url <url>', 'admin address of the server; of several, with commas, the first that answers')
    .env('TANDEM_ADMIN_URL')
    .default(DEFAULT_ADMIN_URLS.join(','), `${DEFAULT_ADMIN_URLS[0]}, then the next two ports`);
// Not Option.env: the help would then show the token.
const tokenOption = (): Option => new Option('--token <token>', 'bearer token (env: TANDEM_TOKEN)');

export const withJson = (command: Command): Command => command.option('--json', 'print JSON');

/** For commands that talk to the HTTP listener. */
export const withServer = (command: Command): Command =>
  withJson(command.addOption(urlOption()).addOption(tokenOption()));

/** For commands that talk to the admin address. */
export const withAdmin = (command: Command): Command =>
  withJson(command.addOption(adminUrlOption()).addOption(tokenOption()));

const tokenOf = (options: ClientOptions): string | undefined =>
  options.token ?? (process.env['TANDEM_TOKEN'] || undefined);
export const serverOf = (options: ClientOptions): ServerOptions => ({ url: options.url, token: tokenOf(options) });
export const adminOf = (options: ClientOptions): ServerOptions => ({ url: options.adminUrl, token: tokenOf(options) });

/** Wraps a command's action: a number that it resolves with, or its error (printed with code and hint), becomes the exit code. */
export function action<Args extends unknown[]>(
  run: (...args: Args) => Promise<unknown>,
): (...args: Args) => Promise<void> {
  return async (...args) => {
    try {
      const result = await run(...args);
      process.exitCode = typeof result === 'number' ? result : 0;
    } catch (error) {
      const isJson = args.some((arg) => (arg as OutputOptions | undefined)?.json === true);
      printError(error, isJson);
      process.exitCode = exitCodeOf(error);
    }
  };
}
