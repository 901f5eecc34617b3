// What the server is asked, and the page's address.

export class ServerError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

// Raises `ServerError` for an answer that is an error, TypeError where there is none, AbortError where it is aborted.
export async function ask(path, parameters, signal) {
  const query = new URLSearchParams(parameters).toString();
  const response = await fetch(query ? `${path}?${query}` : path, { signal, cache: "no-store", credentials: "omit" });
  let body = null;
  try {
    body = await response.json();
  } catch (error) {
    if (error.name === "AbortError" || response.ok) throw error;
  }
  if (!response.ok) throw new ServerError(response.status, body?.error ?? `status ${response.status}`);
  return body;
}

// #q=TEXT&name=NAME&type=TYPE
export function place() {
  const parts = new URLSearchParams(location.hash.slice(1));
  return { q: parts.get("q") ?? "", name: parts.get("name") ?? "", type: (parts.get("type") ?? "").toUpperCase() };
}

export function link(parts) {
  const given = Object.entries(parts).filter(([, value]) => value);
  return `#${new URLSearchParams(given)}`;
}
