// SPDX-License-Identifier: Apache-2.0
import { type FormEvent, useEffect, useRef, useState } from "react";
import { Refused, type Session, api, errorText } from "../api";
import { span } from "../format";
import { useTitle } from "../ui";

export function LogIn({ onEnter, wasInside }: { onEnter: (session: Session) => void; wasInside: boolean }) {
  const [problem, setProblem] = useState<string | null>(null);
  const [isBusy, setIsBusy] = useState(false);
  const name = useRef<HTMLInputElement>(null);
  const password = useRef<HTMLInputElement>(null);
  useTitle("Log in");
  useEffect(() => name.current?.focus(), []);

  const enter = async (event: FormEvent) => {
    event.preventDefault();
    const who = name.current!.value.trim();
    const secret = password.current!.value;
    if (!who || !secret) {
      setProblem("Give your name and your password.");
      (who ? password : name).current!.focus();
      return;
    }
    setIsBusy(true);
    setProblem(null);
    try {
      onEnter(await api.logIn(who, secret));
    } catch (error) {
      const wait = error instanceof Refused ? error.retryAfterS : null;
      const text =
        error instanceof Refused && error.status === 401 ? "This name and password do not fit together." : errorText(error);
      setProblem(wait ? `${text} Try again in ${span(wait)}.` : text);
      password.current!.value = "";
      password.current!.focus();
    } finally {
      setIsBusy(false);
    }
  };

  return (
    <main className="login">
      <form className="panel" onSubmit={(event) => void enter(event)} noValidate aria-label="Log in">
        <div className="brand">
          <img src="/icon.svg" alt="" />
          <h1>Assay</h1>
        </div>
        {wasInside && !problem && <p className="muted">Your session is over. Log in to go on where you were.</p>}
        {problem && (
          <p className="fault" role="alert" id="login-problem">
            {problem}
          </p>
        )}
        <div className="field">
          <label htmlFor="name">Name</label>
          <input
            id="name" name="username" className="input" ref={name} autoComplete="username" autoCapitalize="none"
            spellCheck={false} aria-invalid={!!problem} aria-describedby={problem ? "login-problem" : undefined} required
          />
        </div>
        <div className="field">
          <label htmlFor="password">Password</label>
          <input
            id="password" name="password" type="password" className="input" ref={password} autoComplete="current-password"
            aria-invalid={!!problem} aria-describedby={problem ? "login-problem" : undefined} required
          />
        </div>
        <button type="submit" className="button primary" disabled={isBusy}>
          {isBusy ? "Looking …" : "Log in"}
        </button>
        <p className="small muted">
          A user is made with <code>assay users add</code>.
        </p>
      </form>
    </main>
  );
}
