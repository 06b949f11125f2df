// SPDX-License-Identifier: Apache-2.0
// Saved filters: one's own, and those that others share.
import { Popover, PopoverDisclosure, PopoverProvider } from "@ariakit/react/popover";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { type Filter, api, errorText } from "../api";
import { href } from "../route";
import { useSession } from "../session";
import { useSay } from "../ui";

export function Views({ filter }: { filter: Filter }) {
  const [open, setOpen] = useState(false);
  const { user } = useSession();
  const say = useSay();
  const queries = useQueryClient();
  const views = useQuery({ queryKey: ["views"], queryFn: ({ signal }) => api.views(signal), enabled: open });
  const again = () => void queries.invalidateQueries({ queryKey: ["views"] });
  const save = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = event.currentTarget;
    const name = String(new FormData(form).get("name")).trim();
    if (!name) return;
    try {
      await api.putView(name, filter, new FormData(form).get("shared") === "on");
      form.reset();
      again();
    } catch (error) {
      say(errorText(error), { tone: "bad" });
    }
  };
  const forget = async (name: string) => {
    try {
      await api.deleteView(name);
      again();
    } catch (error) {
      say(errorText(error), { tone: "bad" });
    }
  };
  return (
    <PopoverProvider open={open} setOpen={setOpen} placement="bottom-end">
      <PopoverDisclosure className="button">Views</PopoverDisclosure>
      <Popover className="popover roomy" gutter={4} portal aria-label="Saved views" unmountOnHide>
        <div className="stack">
          {views.data?.views.length === 0 && <p className="muted small">No view is saved yet: save the filter of now below.</p>}
          <ul>
            {views.data?.views.map((view) => (
              <li className="row" key={`${view.owner}/${view.name}`}>
                <a className="item grow" href={href("queue", view.filter)} onClick={() => setOpen(false)}>
                  <span className="grow cut">{view.name}</span>
                  <span className="small muted">{view.owner === user.name ? (view.is_shared ? "shared" : "") : view.owner}</span>
                </a>
                {view.owner === user.name && (
                  <button type="button" className="button quiet icon" aria-label={`Forget ${view.name}`} onClick={() => void forget(view.name)}>
                    ✕
                  </button>
                )}
              </li>
            ))}
          </ul>
          <form className="stack" onSubmit={(event) => void save(event)}>
            <div className="field">
              <label htmlFor="view-name">Save the filter of now as</label>
              <input id="view-name" name="name" className="input" maxLength={64} required />
            </div>
            <label className="row">
              <input type="checkbox" name="shared" /> Share it with everybody
            </label>
            <button type="submit" className="button">
              Save
            </button>
          </form>
        </div>
      </Popover>
    </PopoverProvider>
  );
}
