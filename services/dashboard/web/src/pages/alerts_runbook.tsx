// SPDX-License-Identifier: Apache-2.0
// An entry of the manual's runbook, as vite.config.ts took it from docs/operations.md.
import type { ReactNode } from "react";

/** `code`, **strong** and [links](#to) of the manual; everything else is text. */
function rich(text: string): ReactNode[] {
  return text.split(/(`[^`]+`|\*\*[^*]+\*\*|\[[^\]]+\]\([^)]+\))/).map((part, i) => {
    if (part.startsWith("`")) return <code key={i}>{part.slice(1, -1)}</code>;
    if (part.startsWith("**")) return <strong key={i}>{part.slice(2, -2)}</strong>;
    if (part.startsWith("[")) return <em key={i}>{part.slice(1, part.indexOf("]"))}</em>;
    return part;
  });
}

/** `at` is as an alert says it: docs/operations.md#featuredrifted. */
export function Runbook({ at }: { at: string }) {
  const entry = RUNBOOK[at.split("#")[1] ?? ""];
  if (!entry) return at ? <p className="muted">The manual says it: <code>{at}</code></p> : <p className="muted">The manual has no entry about it.</p>;
  const lines = entry.text.split("\n").filter((line) => line.trim());
  return (
    <div className="runbook stack">
      {lines.filter((line) => !line.startsWith("- ")).map((line, i) => (
        <p key={i}>{rich(line)}</p>
      ))}
      <ul>
        {lines.filter((line) => line.startsWith("- ")).map((line, i) => (
          <li key={i}>{rich(line.slice(2))}</li>
        ))}
      </ul>
      <p className="small muted">From the manual: <code>{at}</code></p>
    </div>
  );
}
