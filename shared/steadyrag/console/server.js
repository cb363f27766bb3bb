// What the page asks of the server.

/** A request that got no answer, or none that helps. `status` is 0 where nothing came back. */
export class Failed extends Error {
  constructor(status, detail, requestId) {
    super(detail);
    this.status = status;
    this.requestId = requestId;
  }
}

/** The answer to a question, with what its headers say. */
export async function search(body, { fresh = false } = {}) {
  const began = performance.now();
  const headers = fresh ? { 'Cache-Control': 'no-cache' } : {};
  const response = await send('/search', { body, headers });
  return {
    answer: await response.json(),
    serverMs: total(response.headers.get('server-timing')),
    roundTripMs: performance.now() - began,
    requestId: response.headers.get('x-request-id'),
  };
}

export async function feedback(body) {
  await send('/feedback', { body });
}

/** One recorded search. A record is written after its answer was sent, so it may take a moment
 * until there is one that `wanted` is content with; null when none comes. */
export async function recorded(id, wanted = () => true) {
  for (let tries = 0; tries < 15; tries += 1) {
    try {
      const found = await get(`searches/${encodeURIComponent(id)}`);
      if (wanted(found)) return found;
    } catch (error) {
      if (error.status !== 404) throw error;
    }
    await new Promise((resume) => setTimeout(resume, 40 + tries * 30));
  }
  return null;
}

export async function get(path) {
  return (await send(`/console/api/${path}`)).json();
}

async function send(path, { body, headers = {} } = {}) {
  const asked = body
    ? {
        method: 'POST',
        headers: { 'Content-Type': 'application/json', ...headers },
        body: JSON.stringify(body),
      }
    : { headers };
  let response;
  try {
    response = await fetch(path, asked);
  } catch {
    throw new Failed(0, '', null);
  }
  if (response.ok) return response;
  const problem = await response.json().catch(() => ({}));
  const detail = problem.detail ?? response.statusText;
  throw new Failed(response.status, String(detail), response.headers.get('x-request-id'));
}

/** Milliseconds of `total` in a Server-Timing header. */
function total(header) {
  const found = /(?:^|,)\s*total;dur=([\d.]+)/.exec(header ?? '');
  return found ? Number(found[1]) : null;
}
