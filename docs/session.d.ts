// Types of /oauth2/session.js. Copy this file into your tool, and load the script as docs/tool-authors.md shows.

interface OAuthProxyUser {
  id: string;
  email: string | null;
  name: string | null;
  account_id: string | null;
  /** All times are seconds since the epoch, by the server's clock; `now` is when it answered. */
  expires_at: number;
  session_expires_at: number;
  idle_expires_at: number;
  now: number;
}

interface OAuthProxyEvents {
  /** A person has to act. `preventDefault()` keeps our dialog away: show a button of yours that calls `signIn()`. */
  needed: CustomEvent<{ reason: "click" | "blocked" | "closed" | "frame" }>;
  /** The session ends in so many seconds; `idle`: unless it is used before. */
  ends: CustomEvent<{ seconds: number; idle: boolean }>;
  /** The session has ended, or somebody has signed out in any tab. */
  ended: CustomEvent<undefined>;
  /** Somebody else has signed in: the page should be loaded again. */
  changed: CustomEvent<OAuthProxyUser>;
}

interface OAuthProxy extends EventTarget {
  /** As the browser's, but a 401 of the proxy's own opens the login, waits for it, and sends the request once more. */
  fetch(input: RequestInfo | URL, init?: RequestInit): Promise<Response>;
  /** Opens the login in a popup; call it in a click. False: nobody signed in, or somebody else. */
  signIn(): Promise<boolean>;
  /** Gives up the login that is waited for: calls that wait get their 401. */
  giveUp(): void;
  /** Ends the session in every tab. Rejects if the proxy cannot be reached. */
  signOut(): Promise<void>;
  /** Who is signed in; null if nobody is. To ask is no use of the session. */
  info(): Promise<OAuthProxyUser | null>;
  /** How many minutes before the end `ends` comes; 5 unless you set it. */
  minutes: number;
  addEventListener<Type extends keyof OAuthProxyEvents>(
    type: Type,
    listener: (event: OAuthProxyEvents[Type]) => void,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | AddEventListenerOptions,
  ): void;
}

declare const oauthProxy: OAuthProxy;
