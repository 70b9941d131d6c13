/** Outgoing HTTP as a parameter, so that what calls out can be replayed. */
import { Agent as HttpAgent, type IncomingMessage, request as requestHttp } from 'node:http';
import { Agent as HttpsAgent, request as requestHttps } from 'node:https';

export interface HttpPost {
  readonly url: string;
  readonly headers: { readonly [name: string]: string };
  readonly body: Uint8Array;
  /** Aborting it ends the request; `post` rejects. */
  readonly signal: AbortSignal;
}

export interface HttpAnswer {
  readonly status: number;
  /** The beginning of the body, at most ANSWER_BYTES_MAX. */
  readonly text: string;
  readonly retryAfter: string | undefined;
}

export interface HttpClient {
  /** Resolves with any answer, whatever its status; redirects are answers. Rejects with an Error if there was none. No time-out of its own. */
  post(request: HttpPost): Promise<HttpAnswer>;
  /** Closes idle connections. */
  close(): void;
}

const ANSWER_BYTES_MAX: number = 64 * 1024;

/** Over node:http(s) with kept connections, at most `connectionsMax` to a host (more requests wait). */
export function createHttpClient(connectionsMax: number = 256): HttpClient {
  const options = { keepAlive: true, maxSockets: connectionsMax, timeout: 60_000 };
  const plain = new HttpAgent(options);
  const secure = new HttpsAgent(options);
  return {
    post({ url, headers, body, signal }) {
      return new Promise((resolve, reject) => {
        const isSecure = url.toLowerCase().startsWith('https:');
        const agent = isSecure ? secure : plain;
        const request = (isSecure ? requestHttps : requestHttp)(url, {
          method: 'POST',
          headers: { ...headers, 'content-length': body.length },
          agent,
          signal,
        });
        request.on('error', reject);
        request.on('response', (response) => collect(response).then(resolve, reject));
        request.end(body);
      });
    },
    close() {
      plain.destroy();
      secure.destroy();
    },
  };
}

async function collect(response: IncomingMessage): Promise<HttpAnswer> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of response) {
    parts.push(part as Buffer);
    bytes += (part as Buffer).length;
    // Leaving the loop destroys the response and with it the connection.
    if (bytes >= ANSWER_BYTES_MAX) break;
  }
  const text = Buffer.concat(parts).toString('utf8', 0, ANSWER_BYTES_MAX);
  return { status: response.statusCode ?? 0, text, retryAfter: response.headers['retry-after'] };
}
