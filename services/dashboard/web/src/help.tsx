// SPDX-License-Identifier: Apache-2.0
// Which keys work on the page that is shown.
import { setSingleKeys, useShortcutGroups, useSingleKeys } from "./shortcuts";
import { Modal } from "./ui";

const names: Record<string, string> = {
  Enter: "Enter", Escape: "Esc", ArrowDown: "↓", ArrowUp: "↑", " ": "Space",
};

const shown = (key: string): string =>
  /^\S+ \S+$/.test(key) ? key.split(" ").map(shown).join(" then ") :
  key.startsWith("mod+") ? `Ctrl ${shown(key.slice(4))}` : (names[key] ?? (key.length === 1 ? key.toUpperCase() : key));

export default function Help({ onClose }: { onClose: () => void }) {
  const groups = useShortcutGroups();
  const singleKeys = useSingleKeys();
  return (
    <Modal title="Keys that work here" open onClose={onClose} wide>
      <div className="keys">
        {[...groups].reverse().map((group, i) => (
          <section key={i} aria-label={group.title}>
            <h2>{group.title}</h2>
            <dl>
              {group.shortcuts.filter((each) => !each.isAlias).map((each) => (
                <div key={each.key} style={{ display: "contents" }}>
                  <dt>
                    <kbd>{shown(each.key)}</kbd>
                  </dt>
                  <dd>{each.label}</dd>
                </div>
              ))}
            </dl>
          </section>
        ))}
      </div>
      <div className="actions">
        <label className="row grow">
          <input type="checkbox" checked={singleKeys} onChange={(event) => setSingleKeys(event.target.checked)} />
          Keys without Ctrl
        </label>
        <button type="button" className="button" onClick={onClose}>
          Close
        </button>
      </div>
    </Modal>
  );
}
