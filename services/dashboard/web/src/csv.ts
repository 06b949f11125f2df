// SPDX-License-Identifier: Apache-2.0
// What a table shows, as a file (RFC 4180).

/** One field; text that a spreadsheet would take for a formula gets an apostrophe. */
export function csvField(value: unknown): string {
  const text = Array.isArray(value) ? value.join(" ") : value === null || value === undefined ? "" : String(value);
  const safe = typeof value === "number" ? text : text.replace(/^[=+\-@\t\r]/, "'$&");
  return /[",\r\n]/.test(safe) ? `"${safe.replace(/"/g, '""')}"` : safe;
}

export function csvText<T>(columns: readonly (keyof T & string)[], rows: T[]): string {
  return [columns.join(","), ...rows.map((row) => columns.map((name) => csvField(row[name])).join(","))].join("\r\n") + "\r\n";
}

export function saveCsv<T>(name: string, columns: readonly (keyof T & string)[], rows: T[]): void {
  const url = URL.createObjectURL(new Blob([csvText(columns, rows)], { type: "text/csv;charset=utf-8" }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  URL.revokeObjectURL(url);
}
