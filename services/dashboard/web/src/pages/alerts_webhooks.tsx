// SPDX-License-Identifier: Apache-2.0
// Who is told of alerts. A secret is shown once, when it is made.
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { errorText } from "../api";
import { type Webhook, watch } from "../api/drift";
import { saveCsv } from "../csv";
import { count, moment } from "../format";
import { useMay } from "../session";
import { useShortcuts } from "../shortcuts";
import { Blank, Chip, Fault, Kbd, Loading, Modal, useSay } from "../ui";

type Open = { kind: "add" } | { kind: "secret"; name: string; secret: string; isNew: boolean } | { kind: "delete"; name: string } | null;

export default function Webhooks() {
  const isAdmin = useMay("admin");
  const say = useSay();
  const queries = useQueryClient();
  const [open, setOpen] = useState<Open>(null);
  const [busy, setBusy] = useState("");
  const asked = useQuery({ queryKey: ["webhooks"], queryFn: ({ signal }) => watch.webhooks(signal), refetchInterval: 15000 });
  const all = asked.data?.webhooks ?? [];
  const again = () => void queries.invalidateQueries({ queryKey: ["webhooks"] });
  const act = async (name: string, work: () => Promise<string | null>) => {
    setBusy(name);
    try {
      const text = await work();
      if (text) say(text);
    } catch (error) {
      say(errorText(error), { tone: "bad" });
    }
    setBusy("");
    again();
  };
  const rotate = (each: Webhook) =>
    act(each.name, async () => {
      const { secret } = await watch.rotateWebhook(each.name);
      setOpen({ kind: "secret", name: each.name, secret, isNew: false });
      return null;
    });
  const test = (each: Webhook) =>
    act(each.name, async () => {
      let delivery = await watch.testWebhook(each.name);
      for (let i = 0; i < 20 && delivery.state === "pending" && delivery.attempts === 0; i++) {
        await new Promise((later) => setTimeout(later, 500));
        delivery = await watch.delivery(delivery.id);
      }
      if (delivery.state === "delivered") return `${each.name} took the message: HTTP ${delivery.last_status}.`;
      if (delivery.attempts === 0) return `The message to ${each.name} is on its way.`;
      throw new Error(`${each.name} did not take the message: ${delivery.last_status > 0 ? `HTTP ${delivery.last_status}` : delivery.last_trouble}`);
    });
  const turn = (each: Webhook) =>
    act(each.name, async () => {
      await watch.setWebhook(each.name, !each.is_enabled);
      return each.is_enabled ? `${each.name} is told nothing for now.` : `${each.name} is told again, first what has waited.`;
    });
  useShortcuts("Webhooks", isAdmin ? [{ key: "n", label: "Add a webhook", run: () => setOpen({ kind: "add" }) }] : []);
  return (
    <>
      <div className="filters">
        <p className="muted">Signed messages by the Standard Webhooks specification; what fails is tried again, and 410 disables.</p>
        <span className="grow" />
        <button type="button" className="button" disabled={all.length === 0} onClick={() => saveCsv("webhooks.csv", csvColumns, all)}>
          CSV
        </button>
        {isAdmin && (
          <button type="button" className="button primary" onClick={() => setOpen({ kind: "add" })}>
            Add a webhook <Kbd>N</Kbd>
          </button>
        )}
      </div>
      {asked.error && <Fault error={asked.error} again={() => void asked.refetch()} />}
      <div className="panel">
        {asked.isPending && <Loading />}
        {asked.data && all.length === 0 && (
          <Blank title="Nobody is told">
            <p>
              A webhook is a URL that gets a signed message when an alert fires and when it is over: a chat, a pager, a ticket system.
              {isAdmin ? "" : " Whoever is admin can add one."}
            </p>
          </Blank>
        )}
        {all.length > 0 && (
          <div className="table-wrap" tabIndex={0} role="region" aria-label="Table of webhooks">
            <table className="plain">
              <thead>
                <tr>
                  <th scope="col">Name</th>
                  <th scope="col">URL</th>
                  <th scope="col">State</th>
                  <th scope="col" className="num">Waiting</th>
                  <th scope="col">Since</th>
                  {isAdmin && <th scope="col">Change</th>}
                </tr>
              </thead>
              <tbody>
                {all.map((each) => (
                  <tr key={each.name}>
                    <th scope="row">{each.name}</th>
                    <td><code className="wrap">{each.url}</code></td>
                    <td>
                      {each.is_enabled ? <Chip tone="good">enabled</Chip> : <Chip tone="bad">disabled</Chip>}{" "}
                      <span className="small muted">
                        {each.is_enabled ? "" : each.disabled_because}
                        {each.old_secret_until ? ` signed with the old secret too until ${moment(each.old_secret_until)}` : ""}
                      </span>
                    </td>
                    <td className="num">{count(each.waiting)}</td>
                    <td className="nowrap muted">{moment(each.created_at)}</td>
                    {isAdmin && (
                      <td className="nowrap">
                        <button type="button" className="button quiet" disabled={busy === each.name || !each.is_enabled} aria-label={`Test ${each.name}`} onClick={() => void test(each)}>
                          Test
                        </button>
                        <button type="button" className="button quiet" disabled={busy === each.name} aria-label={`New secret of ${each.name}`} onClick={() => void rotate(each)}>
                          New secret
                        </button>
                        <button type="button" className="button quiet" disabled={busy === each.name} aria-label={`${each.is_enabled ? "Disable" : "Enable"} ${each.name}`} onClick={() => void turn(each)}>
                          {each.is_enabled ? "Disable" : "Enable"}
                        </button>
                        <button type="button" className="button quiet" disabled={busy === each.name} aria-label={`Remove ${each.name}`} onClick={() => setOpen({ kind: "delete", name: each.name })}>
                          Remove
                        </button>
                      </td>
                    )}
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        )}
      </div>
      {open?.kind === "add" && (
        <AddDialog
          onClose={() => setOpen(null)}
          onAdded={(name, secret) => {
            setOpen({ kind: "secret", name, secret, isNew: true });
            again();
          }}
        />
      )}
      {open?.kind === "secret" && <SecretDialog {...open} onClose={() => setOpen(null)} />}
      {open?.kind === "delete" && (
        <Modal title={`Remove ${open.name}`} open onClose={() => setOpen(null)}>
          <p>It is told nothing more, and what was on its way to it is given up. Its secret is forgotten.</p>
          <div className="actions">
            <button type="button" className="button" onClick={() => setOpen(null)}>
              Cancel
            </button>
            <button
              type="button" className="button is-bad"
              onClick={() => {
                const { name } = open;
                setOpen(null);
                void act(name, async () => {
                  await watch.deleteWebhook(name);
                  return `${name} is gone.`;
                });
              }}
            >
              Remove
            </button>
          </div>
        </Modal>
      )}
    </>
  );
}

function AddDialog({ onClose, onAdded }: { onClose: () => void; onAdded: (name: string, secret: string) => void }) {
  const [problem, setProblem] = useState<string | null>(null);
  const [isBusy, setIsBusy] = useState(false);
  const add = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    setIsBusy(true);
    setProblem(null);
    try {
      const made = await watch.addWebhook(String(form.get("name")).trim(), String(form.get("url")).trim());
      onAdded(made.webhook.name, made.secret);
    } catch (error) {
      setProblem(errorText(error));
      setIsBusy(false);
    }
  };
  return (
    <Modal title="Add a webhook" open onClose={onClose}>
      <form className="stack" onSubmit={(event) => void add(event)}>
        {problem && <Fault error={new Error(problem)} />}
        <div className="field">
          <label htmlFor="hook-name">Name: small letters, digits, _ -</label>
          <input id="hook-name" name="name" className="input" pattern="[a-z0-9][a-z0-9_\-]{0,62}" autoComplete="off" required />
        </div>
        <div className="field">
          <label htmlFor="hook-url">URL: https, and not of a private address</label>
          <input id="hook-url" name="url" type="url" className="input" maxLength={2048} placeholder="https://" autoComplete="off" required />
        </div>
        <div className="actions">
          <button type="button" className="button" onClick={onClose}>
            Cancel
          </button>
          <button type="submit" className="button primary" disabled={isBusy}>
            Add
          </button>
        </div>
      </form>
    </Modal>
  );
}

function SecretDialog({ name, secret, isNew, onClose }: { name: string; secret: string; isNew: boolean; onClose: () => void }) {
  const say = useSay();
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(secret);
      say("The secret is in the clipboard.");
    } catch {
      say("The browser does not allow that: select and copy it.", { tone: "bad" });
    }
  };
  return (
    <Modal title={`Secret of ${name}`} open onClose={onClose}>
      <div className="stack">
        <p>
          Give it to the receiver: it verifies each message with it. It is shown this once.
          {isNew ? "" : " For a day messages are signed with the old one too."}
        </p>
        <div className="secret">
          <code>{secret}</code>
          <button type="button" className="button" onClick={() => void copy()}>
            Copy
          </button>
        </div>
        <div className="actions">
          <button type="button" className="button primary" onClick={onClose}>
            It is kept
          </button>
        </div>
      </div>
    </Modal>
  );
}

const csvColumns = ["name", "url", "is_enabled", "disabled_because", "waiting", "old_secret_until", "created_at"] as const satisfies readonly (keyof Webhook)[];
