// SPDX-License-Identifier: Apache-2.0
// The parts that pages are made of.
import { Dialog, DialogHeading } from "@ariakit/react/dialog";
import { type ReactNode, createContext, useCallback, useContext, useEffect, useRef, useState } from "react";
import { type Action, errorText } from "./api";
import { percent } from "./format";
import { useNow } from "./now";
import { useShortcuts } from "./shortcuts";

export type Tone = "good" | "info" | "warn" | "bad" | "plain";

export const allActions: Action[] = ["approve", "challenge", "review", "decline"];
export const actionTone: Record<Action, Tone> = { approve: "good", challenge: "info", review: "warn", decline: "bad" };

export function Chip({ tone = "plain", children }: { tone?: Tone; children: ReactNode }) {
  return <span className={`chip ${tone}`}>{children}</span>;
}

export function ActionChip({ action }: { action: Action }) {
  return (
    <Chip tone={actionTone[action] ?? "plain"}>
      <span className="dot" aria-hidden="true" />
      {action}
    </Chip>
  );
}

export function Kbd({ children }: { children: ReactNode }) {
  return <kbd aria-hidden="true">{children}</kbd>;
}

export function Panel(props: { title: string; tools?: ReactNode; flush?: boolean; children: ReactNode }) {
  return (
    <section className="panel" aria-label={props.title}>
      <header>
        <h2>{props.title}</h2>
        {props.tools}
      </header>
      {props.flush ? props.children : <div className="body">{props.children}</div>}
    </section>
  );
}

/** What stands where there is nothing yet; `isPage` when it is all of the page. */
export function Blank({ title, isPage, children }: { title: string; isPage?: boolean; children?: ReactNode }) {
  return (
    <div className="blank">
      {isPage ? <h1>{title}</h1> : <h2>{title}</h2>}
      {children}
    </div>
  );
}

export function Loading({ lines = 6 }: { lines?: number }) {
  return (
    <div className="skeletons" role="status" aria-label="Loading">
      {Array.from({ length: lines }, (_, i) => (
        <div className="skeleton" key={i} />
      ))}
    </div>
  );
}

export function Fault({ error, again }: { error: unknown; again?: () => void }) {
  return (
    <div className="fault" role="alert">
      <span className="grow">{errorText(error)}</span>
      {again && (
        <button type="button" className="button" onClick={again}>
          Try again
        </button>
      )}
    </div>
  );
}

/** A score as a number and a bar. */
export function Meter({ score }: { score: number | null }) {
  const tone = score === null ? "" : score >= 0.7 ? "bad" : score >= 0.3 ? "warn" : "";
  return (
    <span className="meter">
      <span className="num">{percent(score)}</span>
      <span className="track" aria-hidden="true">
        <span className={`fill ${tone}`} style={{ width: `${Math.round((score ?? 0) * 100)}%`, display: "block" }} />
      </span>
    </span>
  );
}

export function Modal(props: { title: string; open: boolean; onClose: () => void; wide?: boolean; children: ReactNode }) {
  return (
    <Dialog
      open={props.open}
      onClose={props.onClose}
      unmountOnHide
      className={`dialog ${props.wide ? "wide" : ""}`}
      backdrop={<div className="backdrop" />}
    >
      <DialogHeading render={<h1 />}>{props.title}</DialogHeading>
      {props.children}
    </Dialog>
  );
}

/* Toasts: a sentence at the foot of the page, and what can be undone. */
interface Toast {
  id: number;
  text: string;
  tone: "plain" | "bad";
  until: number;
  undo?: () => void;
}

type Say = (text: string, more?: { tone?: "bad"; undo?: () => void; seconds?: number }) => void;

const SayContext = createContext<Say>(() => {});
export const useSay = (): Say => useContext(SayContext);

export function Toaster({ children }: { children: ReactNode }) {
  const [toasts, setToasts] = useState<Toast[]>([]);
  const serial = useRef(0);
  const say = useCallback<Say>((text, more) => {
    const id = ++serial.current;
    const seconds = more?.seconds ?? (more?.tone === "bad" ? 10 : 5);
    setToasts((now) => [...now.slice(-2), { id, text, tone: more?.tone ?? "plain", until: Date.now() + seconds * 1000, undo: more?.undo }]);
  }, []);
  const drop = useCallback((id: number) => setToasts((now) => now.filter((toast) => toast.id !== id)), []);
  return (
    <SayContext.Provider value={say}>
      {children}
      <div className="toasts" role="status" aria-live="polite">
        {toasts.map((toast) => (
          <ToastBox key={toast.id} toast={toast} drop={drop} />
        ))}
      </div>
    </SayContext.Provider>
  );
}

function ToastBox({ toast, drop }: { toast: Toast; drop: (id: number) => void }) {
  const now = useNow();
  const left = Math.ceil((toast.until - now) / 1000);
  useEffect(() => {
    const timer = window.setTimeout(() => drop(toast.id), Math.max(0, toast.until - Date.now()));
    return () => window.clearTimeout(timer);
  }, [toast, drop]);
  const undo = () => {
    drop(toast.id);
    toast.undo?.();
  };
  return (
    <div className={`toast ${toast.tone}`}>
      <span className="grow">{toast.text}</span>
      {toast.undo && (
        <>
          <UndoKey undo={undo} />
          <button type="button" className="button" onClick={undo}>
            Undo <Kbd>U</Kbd> <span aria-hidden="true">{Math.max(0, left)} s</span>
          </button>
        </>
      )}
    </div>
  );
}

function UndoKey({ undo }: { undo: () => void }) {
  useShortcuts("Last decision", [{ key: "u", label: "Undo it", run: undo }]);
  return null;
}

/** Whether a media query holds. */
export function useMedia(query: string): boolean {
  const [holds, setHolds] = useState(() => window.matchMedia(query).matches);
  useEffect(() => {
    const media = window.matchMedia(query);
    const changed = () => setHolds(media.matches);
    changed();
    media.addEventListener("change", changed);
    return () => media.removeEventListener("change", changed);
  }, [query]);
  return holds;
}

/** The title of the window. */
export function useTitle(title: string): void {
  useEffect(() => {
    document.title = `${title} · Assay`;
  }, [title]);
}
