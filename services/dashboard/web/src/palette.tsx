// SPDX-License-Identifier: Apache-2.0
// Ctrl-K: every page and command by its name, a case by its number, anything else as a search of the queue.
import { Combobox, ComboboxItem, ComboboxList, ComboboxProvider } from "@ariakit/react/combobox";
import { Dialog } from "@ariakit/react/dialog";
import { useMemo, useState } from "react";
import type { Page } from "./pages";
import { go, href } from "./route";
import { type Theme, setTheme } from "./theme";

interface Command {
  group: string;
  label: string;
  run: () => void;
}

export default function Palette(props: { pages: Page[]; onClose: () => void; onHelp: () => void }) {
  const [typed, setTyped] = useState("");
  const canReview = props.pages.some((page) => page.path === "queue");
  const commands = useMemo<Command[]>(
    () => [
      ...props.pages.map((page) => ({ group: "Pages", label: page.title, run: () => go(href(page.path)) })),
      ...(["light", "dark", "system"] as Theme[]).map((theme) => ({
        group: "Commands",
        label: theme === "system" ? "Theme: as the system" : `Theme: ${theme}`,
        run: () => setTheme(theme),
      })),
      { group: "Commands", label: "Keys that work here", run: props.onHelp },
    ],
    [props.pages, props.onHelp],
  );
  const wanted = typed.trim();
  const hits = commands.filter((each) => each.label.toLowerCase().includes(wanted.toLowerCase()));
  const number = /^(?:case\s*)?#?(\d{1,15})$/i.exec(wanted)?.[1];
  if (canReview && number) hits.unshift({ group: "Cases", label: `Open case ${number}`, run: () => go(href(`cases/${number}`)) });
  if (canReview && wanted)
    hits.push({
      group: "Cases",
      label: `Cases with the customer, card, device, address, merchant or payment “${wanted}”`,
      run: () => go(href("queue", { state: "all", entity: wanted })),
    });
  return (
    <Dialog open onClose={props.onClose} className="dialog palette" aria-label="Search and commands" backdrop={<div className="backdrop" />}>
      <ComboboxProvider open value={typed} setValue={setTyped} focusLoop resetValueOnHide={false}>
        <Combobox
          className="input"
          placeholder="A page, a command, a case or a customer"
          aria-label="A page, a command, a case or a customer"
          autoSelect="always"
          autoFocus
        />
        <ComboboxList className="results" alwaysVisible aria-label="What fits">
          {hits.map((hit, i) => (
            <ComboboxItem
              key={hit.label}
              className="item"
              hideOnClick={false}
              setValueOnClick={false}
              onClick={() => {
                props.onClose();
                hit.run();
              }}
            >
              <span className="grow">{hit.label}</span>
              {hits[i - 1]?.group !== hit.group && <span className="small muted">{hit.group}</span>}
            </ComboboxItem>
          ))}
        </ComboboxList>
        {hits.length === 0 && <p className="blank">Nothing fits.</p>}
      </ComboboxProvider>
    </Dialog>
  );
}
