// SPDX-License-Identifier: Apache-2.0
// Light, dark, or as the system says (the default).
export type Theme = "system" | "light" | "dark";

const key = "assay.theme";

export function theme(): Theme {
  try {
    const kept = localStorage.getItem(key);
    return kept === "light" || kept === "dark" ? kept : "system";
  } catch {
    return "system";
  }
}

export function setTheme(next: Theme): void {
  try {
    if (next === "system") localStorage.removeItem(key);
    else localStorage.setItem(key, next);
  } catch {
    /* a browser without storage forgets it */
  }
  showTheme(next);
}

export function showTheme(next: Theme): void {
  if (next === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = next;
  window.dispatchEvent(new Event("assay-theme"));
}
