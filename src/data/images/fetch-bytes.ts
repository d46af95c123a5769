import { fail } from "../../tensor/errors.js";

/** What is at an address. Throws LayerwiseError "file" unless it answers with success. */
export async function fetchBytes(address: string): Promise<Uint8Array> {
  const response = await fetch(address).catch((error: unknown) =>
    fail("file", `${address}: cannot be fetched (${String(error)})`, { cause: error }),
  );
  if (!response.ok) fail("file", `${address}: cannot be fetched (status ${response.status})`);
  return new Uint8Array(await response.arrayBuffer());
}
