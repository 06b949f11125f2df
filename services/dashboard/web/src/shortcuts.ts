// SPDX-License-Identifier: Apache-2.0
// Keys. A page says which keys do what while it is shown; the help dialog lists what holds now. Keys without Ctrl do
// nothing while somebody types or a dialog is open, and can be switched off (WCAG 2.1.4).
import { useEffect, useRef, useSyncExternalStore } from "react";

export interface Shortcut {
  /** As KeyboardEvent.key, letters in lower case; `mod+k` is Ctrl-K or Command-K; `g q` is g, then q. */
  key: string;
  label: string;
  run: () => void;
  /** Not shown in the help: another way to do what is listed there. */
  isAlias?: boolean;
}

interface Group {
  title: string;
  shortcuts: Shortcut[];
}

let groups: Group[] = [];
const listeners = new Set<() => void>();

function changed(next: Group[]): void {
  groups = next;
  listeners.forEach((listener) => listener());
}

const settingKey = "assay.single-keys";
let singleKeys = readSetting();

function readSetting(): boolean {
  try {
    return localStorage.getItem(settingKey) !== "off";
  } catch {
    return true;
  }
}

export function setSingleKeys(on: boolean): void {
  singleKeys = on;
  try {
    localStorage.setItem(settingKey, on ? "on" : "off");
  } catch {
    /* a browser without storage forgets it */
  }
  changed([...groups]);
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export const useSingleKeys = (): boolean => useSyncExternalStore(subscribe, () => singleKeys);
export const useShortcutGroups = (): Group[] => useSyncExternalStore(subscribe, () => groups);

function isTyping(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  if (target.isContentEditable || target.closest("[role=dialog], [role=listbox], [role=menu]")) return true;
  if (target instanceof HTMLInputElement) return !["checkbox", "radio", "button"].includes(target.type);
  return target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement;
}

let before = { key: "", at: 0 };

function onKey(event: KeyboardEvent): void {
  if (event.defaultPrevented || event.altKey || event.isComposing) return;
  const mod = event.ctrlKey || event.metaKey;
  const key = (mod ? "mod+" : "") + (event.key.length === 1 ? event.key.toLowerCase() : event.key);
  if (!mod && (!singleKeys || isTyping(event.target))) return;
  // Enter and space belong to the button or link that has the focus.
  if (event.key === "Enter" && event.target instanceof Element && event.target.closest("button, a, summary")) return;
  const pair = event.timeStamp - before.at < 1500 ? `${before.key} ${key}` : "";
  before = { key, at: event.timeStamp };
  const hit = find(pair) ?? find(key);
  if (!hit) return;
  before = { key: "", at: 0 };
  event.preventDefault();
  hit.run();
}

function find(key: string): Shortcut | undefined {
  for (let i = groups.length - 1; key && i >= 0; i--) {
    const hit = groups[i]!.shortcuts.find((shortcut) => shortcut.key === key);
    if (hit) return hit;
  }
  return undefined;
}

/** Makes `shortcuts` hold while the component is shown; the latest group goes first. */
export function useShortcuts(title: string, shortcuts: Shortcut[]): void {
  const latest = useRef(shortcuts);
  latest.current = shortcuts;
  const names = shortcuts.map((s) => `${s.key}\t${s.label}`).join("\n");
  useEffect(() => {
    const group: Group = {
      title,
      shortcuts: latest.current.map((s, i) => ({ ...s, run: () => latest.current[i]?.run() })),
    };
    if (groups.length === 0) window.addEventListener("keydown", onKey);
    changed([...groups, group]);
    return () => {
      changed(groups.filter((other) => other !== group));
      if (groups.length === 0) window.removeEventListener("keydown", onKey);
    };
  }, [title, names]);
}
