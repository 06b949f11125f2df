// SPDX-License-Identifier: Apache-2.0
// API keys: who holds which, what each may do, and when it was used last. A secret is shown once.
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useMemo, useState } from "react";
import { errorText } from "../api";
import { type Key, type Keys, type NewKey, keysApi } from "../api/keys";
import { saveCsv } from "../csv";
import { count, moment, span } from "../format";
import { useNow } from "../now";
import { useMay } from "../session";
import { useShortcuts } from "../shortcuts";
import { Blank, Chip, Fault, Kbd, Loading, Modal, useSay, useTitle } from "../ui";
import "./keys.css";

type Open = { kind: "add" } | { kind: "rotate" | "revoke"; key: Key } | { kind: "made"; made: NewKey } | null;

const graces = [
  { label: "at once", s: 0 },
  { label: "in an hour", s: 3600 },
  { label: "in a day", s: 86400 },
  { label: "in a week", s: 604800 },
];

const csvColumns = [
  "prefix", "account", "owner", "scopes", "state", "note", "rate_per_s", "burst", "created_at", "expires_at", "revoked_at", "used_at",
] as const;

export default function KeysPage() {
  useTitle("Keys");
  const isAdmin = useMay("admin");
  const say = useSay();
  const queries = useQueryClient();
  const [open, setOpen] = useState<Open>(null);
  const [text, setText] = useState("");
  const [showsOver, setShowsOver] = useState(false);
  const asked = useQuery({ queryKey: ["keys"], queryFn: ({ signal }) => keysApi.list(signal) });
  const again = () => void queries.invalidateQueries({ queryKey: ["keys"] });
  useShortcuts("Keys", isAdmin ? [{ key: "n", label: "Make a key", run: () => setOpen({ kind: "add" }) }] : []);
  const shown = useMemo(() => {
    const wanted = text.trim().toLowerCase();
    return (asked.data?.keys ?? []).filter(
      (key) =>
        (showsOver || key.state === "valid") &&
        (!wanted || [key.prefix, key.account, key.owner, key.note, ...key.scopes].some((word) => word.toLowerCase().includes(wanted))),
    );
  }, [asked.data, text, showsOver]);
  const over = (asked.data?.keys ?? []).filter((key) => key.state !== "valid").length;
  const made = (key: NewKey) => {
    setOpen({ kind: "made", made: key });
    again();
  };
  return (
    <div className="page keys-page">
      <header>
        <h1>Keys</h1>
        <span className="muted small">{asked.data && count(shown.length)}</span>
        <span className="grow" />
        <button type="button" className="button" disabled={shown.length === 0} onClick={() => saveCsv("keys.csv", csvColumns, shown)}>
          CSV
        </button>
        {isAdmin && (
          <button type="button" className="button primary" onClick={() => setOpen({ kind: "add" })}>
            Make a key <Kbd>N</Kbd>
          </button>
        )}
      </header>
      <div className="filters" role="search" aria-label="Filter of keys">
        <input className="input" aria-label="Find keys" placeholder="Account, owner, note, scope" value={text} onChange={(event) => setText(event.target.value)} />
        <label className="row">
          <input type="checkbox" checked={showsOver} onChange={(event) => setShowsOver(event.target.checked)} />
          also what is over ({count(over)})
        </label>
      </div>
      {asked.error && <Fault error={asked.error} again={() => void asked.refetch()} />}
      <div className="panel">
        {asked.isPending && <Loading />}
        {asked.data && shown.length === 0 && (
          <Blank title={asked.data.keys.length === 0 ? "No key yet" : "No key fits"}>
            <p>
              Whoever sends payments to Assay shows a key. Give each caller one of its own, with the scopes that it needs and no
              others: then one can be ended without the rest.
            </p>
          </Blank>
        )}
        {shown.length > 0 && <Table keys={shown} isAdmin={isAdmin} setOpen={setOpen} />}
      </div>
      {open?.kind === "add" && asked.data && <AddDialog known={asked.data} onClose={() => setOpen(null)} onMade={made} />}
      {open?.kind === "rotate" && <RotateDialog old={open.key} onClose={() => setOpen(null)} onMade={made} />}
      {open?.kind === "revoke" && (
        <RevokeDialog
          old={open.key}
          onClose={() => setOpen(null)}
          onDone={() => {
            say(`${open.key.prefix} is over.`);
            setOpen(null);
            again();
          }}
        />
      )}
      {open?.kind === "made" && <MadeDialog made={open.made} onClose={() => setOpen(null)} />}
    </div>
  );
}

function Table({ keys, isAdmin, setOpen }: { keys: Key[]; isAdmin: boolean; setOpen: (open: Open) => void }) {
  const now = useNow();
  const ago = (at: string) => span((now - Date.parse(at)) / 1000);
  return (
    <div className="table-wrap" tabIndex={0} role="region" aria-label="Table of keys">
      <table className="plain">
        <thead>
          <tr>
            <th scope="col">Prefix</th>
            <th scope="col">Account</th>
            <th scope="col">Owner</th>
            <th scope="col">May</th>
            <th scope="col">For</th>
            <th scope="col" className="num">Rate</th>
            <th scope="col">Made</th>
            <th scope="col">Used last</th>
            <th scope="col">Expires</th>
            <th scope="col">{isAdmin ? "Change" : "State"}</th>
          </tr>
        </thead>
        <tbody>
          {keys.map((key) => (
            <tr key={key.prefix}>
              <th scope="row" className="mono">{key.prefix}</th>
              <td>{key.account}</td>
              <td>{key.owner || <span className="muted">nobody</span>}</td>
              <td>
                <span className="row scopes">
                  {key.scopes.map((scope) => (
                    <Chip key={scope} tone={scope === "admin" || scope === "rules:approve" ? "warn" : "plain"}>
                      {scope}
                    </Chip>
                  ))}
                </span>
              </td>
              <td className="note">{key.note}</td>
              <td className="num">{key.rate_per_s ? `${count(key.rate_per_s)}/s` : <span className="muted">any</span>}</td>
              <td className="nowrap muted">{moment(key.created_at)}</td>
              <td className="nowrap">{key.used_at ? <span title={moment(key.used_at)}>{ago(key.used_at)} ago</span> : <span className="muted">never</span>}</td>
              <td className="nowrap">
                {key.expires_at ? (
                  <span className={key.state === "valid" && Date.parse(key.expires_at) - now < 14 * 86400e3 ? "warn" : "muted"}>{moment(key.expires_at)}</span>
                ) : (
                  <span className="muted">never</span>
                )}
              </td>
              <td className="nowrap">
                {key.state !== "valid" && <Chip tone="bad">{key.state}</Chip>}
                {key.state === "valid" && !isAdmin && <Chip tone="good">valid</Chip>}
                {key.state === "valid" && isAdmin && (
                  <>
                    <button type="button" className="button quiet" aria-label={`Replace ${key.prefix}`} onClick={() => setOpen({ kind: "rotate", key })}>
                      Replace
                    </button>
                    <button type="button" className="button quiet" aria-label={`Revoke ${key.prefix}`} onClick={() => setOpen({ kind: "revoke", key })}>
                      Revoke
                    </button>
                  </>
                )}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Feet({ isBusy, onClose, label }: { isBusy: boolean; onClose: () => void; label: string }) {
  return (
    <div className="actions">
      <button type="button" className="button" onClick={onClose}>
        Cancel
      </button>
      <button type="submit" className="button primary" disabled={isBusy}>
        {label}
      </button>
    </div>
  );
}

function AddDialog({ known, onClose, onMade }: { known: Keys; onClose: () => void; onMade: (made: NewKey) => void }) {
  const [problem, setProblem] = useState<string | null>(null);
  const add = useMutation({ mutationFn: keysApi.add, onSuccess: onMade, onError: (error) => setProblem(errorText(error)) });
  const send = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const scopes = form.getAll("scopes").map(String);
    if (scopes.length === 0) return setProblem("Choose what it may do.");
    setProblem(null);
    add.mutate({
      account: String(form.get("account")), scopes, owner: String(form.get("owner")).trim(), note: String(form.get("note")).trim(),
      rate_per_s: Number(form.get("rate") || 0), days: Number(form.get("days") || 0),
    });
  };
  return (
    <Modal title="Make a key" open onClose={onClose} wide>
      <form className="stack" onSubmit={send}>
        {problem && <Fault error={new Error(problem)} />}
        <div className="pair">
          <div className="field">
            <label htmlFor="key-account">Account</label>
            <select id="key-account" name="account" className="input" required>
              {known.accounts.map((name) => (
                <option key={name}>{name}</option>
              ))}
            </select>
          </div>
          <div className="field">
            <label htmlFor="key-owner">Owner: a user's name; its rule sets count as that person's</label>
            <input id="key-owner" name="owner" className="input" maxLength={200} autoComplete="off" />
          </div>
        </div>
        <fieldset className="plain-set key-scopes">
          <legend className="label">It may</legend>
          {known.scopes.map(({ name, may }) => (
            <label className="row choice" key={name}>
              <input type="checkbox" name="scopes" value={name} defaultChecked={name === "decide" || name === "read"} />
              <span>
                {name} <span className="muted small">{may}</span>
              </span>
            </label>
          ))}
        </fieldset>
        <div className="field">
          <label htmlFor="key-note">What it is for</label>
          <input id="key-note" name="note" className="input" maxLength={200} autoComplete="off" />
        </div>
        <div className="pair">
          <div className="field">
            <label htmlFor="key-days">Days until it expires; empty: never</label>
            <input id="key-days" name="days" type="number" min={1} max={36500} className="input" defaultValue={365} />
          </div>
          <div className="field">
            <label htmlFor="key-rate">Requests a second; empty: any</label>
            <input id="key-rate" name="rate" type="number" min={1} max={1000000} className="input" />
          </div>
        </div>
        <Feet isBusy={add.isPending} onClose={onClose} label="Make it" />
      </form>
    </Modal>
  );
}

function RotateDialog({ old, onClose, onMade }: { old: Key; onClose: () => void; onMade: (made: NewKey) => void }) {
  const [grace, setGrace] = useState(86400);
  const rotate = useMutation({ mutationFn: () => keysApi.rotate(old.prefix, grace), onSuccess: onMade });
  return (
    <Modal title={`Replace ${old.prefix}`} open onClose={onClose}>
      <form
        className="stack"
        onSubmit={(event) => {
          event.preventDefault();
          rotate.mutate();
        }}
      >
        {rotate.error && <Fault error={rotate.error} />}
        <p>The new key has the same account, scopes, limits and owner.</p>
        <div className="field">
          <label htmlFor="key-grace">The old one ends</label>
          <select id="key-grace" className="input" value={grace} onChange={(event) => setGrace(Number(event.target.value))}>
            {graces.map(({ label, s }) => (
              <option key={s} value={s}>
                {label}
              </option>
            ))}
          </select>
        </div>
        <Feet isBusy={rotate.isPending} onClose={onClose} label="Make the new one" />
      </form>
    </Modal>
  );
}

function RevokeDialog({ old, onClose, onDone }: { old: Key; onClose: () => void; onDone: () => void }) {
  const now = useNow();
  const revoke = useMutation({ mutationFn: () => keysApi.revoke(old.prefix), onSuccess: onDone });
  return (
    <Modal title={`Revoke ${old.prefix}`} open onClose={onClose}>
      <form
        className="stack"
        onSubmit={(event) => {
          event.preventDefault();
          revoke.mutate();
        }}
      >
        {revoke.error && <Fault error={revoke.error} />}
        <p>
          {old.used_at
            ? `It was used ${span((now - Date.parse(old.used_at)) / 1000)} ago. From now on its caller is refused; this cannot be undone.`
            : "It has not been used. This cannot be undone."}
        </p>
        <Feet isBusy={revoke.isPending} onClose={onClose} label="Revoke it" />
      </form>
    </Modal>
  );
}

function MadeDialog({ made, onClose }: { made: NewKey; onClose: () => void }) {
  const say = useSay();
  const copy = () =>
    navigator.clipboard.writeText(made.key).then(
      () => say("Copied."),
      () => say("The browser does not let pages copy; select it instead.", { tone: "bad" }),
    );
  return (
    <Modal title="The new key" open onClose={onClose}>
      <div className="stack">
        <p>This is the only time that it is shown. Send it as “Authorization: Bearer …”.</p>
        <div className="field">
          <label htmlFor="key-made">Key {made.prefix}</label>
          <input id="key-made" className="input mono" readOnly value={made.key} onFocus={(event) => event.target.select()} />
        </div>
        <div className="actions">
          <button type="button" className="button" onClick={() => void copy()}>
            Copy
          </button>
          <button type="button" className="button primary" onClick={onClose}>
            I have it
          </button>
        </div>
      </div>
    </Modal>
  );
}
