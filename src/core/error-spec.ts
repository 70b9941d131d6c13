/** The form of an entry in the registry of errors (error-registry.ts). */
export interface ErrorSpec {
  readonly message: string;
  readonly hint: string;
  readonly retryable: boolean;
  readonly number: number;
  readonly httpStatus: number;
  readonly closeCode: number;
}

export const spec = (
  number: number,
  httpStatus: number,
  closeCode: number,
  retryable: boolean,
  message: string,
  hint: string,
): ErrorSpec => ({ number, httpStatus, closeCode, retryable, message, hint });
