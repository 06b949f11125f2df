// SPDX-License-Identifier: Apache-2.0
// Who may log in, and as what. An auditor looks; an admin changes.
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { type Role, type User, api, errorText } from "../api";
import { saveCsv } from "../csv";
import { moment, words } from "../format";
import { useMay, useSession } from "../session";
import { useShortcuts } from "../shortcuts";
import { Chip, Fault, Kbd, Loading, Modal, useSay, useTitle } from "../ui";

const roles: { role: Role; may: string }[] = [
  { role: "analyst", may: "decides cases" },
  { role: "lead", may: "decides cases, gives them to others" },
  { role: "rule_author", may: "writes rules and tries them" },
  { role: "publisher", may: "puts rules of others in force" },
  { role: "model_owner", may: "promotes models and takes them back" },
  { role: "admin", may: "lets people in" },
  { role: "auditor", may: "sees everything, changes nothing" },
];

const csvColumns = ["name", "full_name", "roles", "is_disabled", "created_at", "password_at"] as const;

type Open = { kind: "add" } | { kind: "roles" | "password"; user: User } | null;

export default function UsersPage() {
  useTitle("Users");
  const isAdmin = useMay("admin");
  const me = useSession().user.name;
  const say = useSay();
  const queries = useQueryClient();
  const [open, setOpen] = useState<Open>(null);
  const asked = useQuery({ queryKey: ["users"], queryFn: ({ signal }) => api.users(signal) });
  const again = () => void queries.invalidateQueries({ queryKey: ["users"] });
  const lock = useMutation({
    mutationFn: (user: User) => api.setDisabled(user.name, !user.is_disabled),
    onSuccess: (_, user) => {
      say(user.is_disabled ? `${user.name} may log in again.` : `${user.name} may log in no more.`);
      again();
    },
    onError: (error) => say(errorText(error), { tone: "bad" }),
  });
  useShortcuts("Users", isAdmin ? [{ key: "n", label: "Add a user", run: () => setOpen({ kind: "add" }) }] : []);
  const done = (text: string) => {
    setOpen(null);
    say(text);
    again();
  };
  return (
    <div className="page">
      <header>
        <h1>Users</h1>
        <span className="muted small">{asked.data?.users.length}</span>
        <span className="grow" />
        <button type="button" className="button" disabled={!asked.data} onClick={() => saveCsv("users.csv", csvColumns, asked.data?.users ?? [])}>
          CSV
        </button>
        {isAdmin && (
          <button type="button" className="button primary" onClick={() => setOpen({ kind: "add" })}>
            Add a user <Kbd>N</Kbd>
          </button>
        )}
      </header>
      {asked.error && <Fault error={asked.error} again={() => void asked.refetch()} />}
      <div className="panel">
        {asked.isPending && <Loading />}
        {asked.data && (
          <div className="table-wrap" tabIndex={0} role="region" aria-label="Table of users">
            <table className="plain">
              <thead>
                <tr>
                  <th scope="col">Name</th>
                  <th scope="col">Full name</th>
                  <th scope="col">Roles</th>
                  <th scope="col">Since</th>
                  <th scope="col">Password of</th>
                  <th scope="col">{isAdmin ? "Change" : "State"}</th>
                </tr>
              </thead>
              <tbody>
                {asked.data.users.map((user) => (
                  <tr key={user.name}>
                    <th scope="row">
                      {user.name} {user.name === me && <span className="muted small">me</span>}
                    </th>
                    <td>{user.full_name}</td>
                    <td>
                      <span className="row">
                        {user.roles.map((role) => (
                          <Chip key={role}>{words(role)}</Chip>
                        ))}
                      </span>
                    </td>
                    <td className="nowrap muted">{moment(user.created_at)}</td>
                    <td className="nowrap muted">{moment(user.password_at)}</td>
                    <td className="nowrap">
                      {user.is_disabled && <Chip tone="bad">locked out</Chip>}
                      {isAdmin && (
                        <>
                          <button type="button" className="button quiet" aria-label={`Roles of ${user.name}`} onClick={() => setOpen({ kind: "roles", user })}>
                            Roles
                          </button>
                          <button type="button" className="button quiet" aria-label={`Password of ${user.name}`} onClick={() => setOpen({ kind: "password", user })}>
                            Password
                          </button>
                          {user.name !== me && (
                            <button
                              type="button" className="button quiet" disabled={lock.isPending} onClick={() => lock.mutate(user)}
                              aria-label={`${user.is_disabled ? "Let in" : "Lock out"}: ${user.name}`}
                            >
                              {user.is_disabled ? "Let in" : "Lock out"}
                            </button>
                          )}
                        </>
                      )}
                      {!isAdmin && !user.is_disabled && "may log in"}
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        )}
      </div>
      {open?.kind === "add" && <AddDialog onClose={() => setOpen(null)} onDone={done} />}
      {open?.kind === "roles" && <RolesDialog user={open.user} onClose={() => setOpen(null)} onDone={done} />}
      {open?.kind === "password" && <PasswordDialog user={open.user} onClose={() => setOpen(null)} onDone={done} />}
    </div>
  );
}

interface DialogProps {
  onClose: () => void;
  onDone: (text: string) => void;
}

/** A form in a dialog: what it sends may be refused, and then says why. */
function useSend(onDone: (text: string) => void) {
  const [problem, setProblem] = useState<string | null>(null);
  const [isBusy, setIsBusy] = useState(false);
  const send = async (act: () => Promise<unknown>, text: string) => {
    setIsBusy(true);
    setProblem(null);
    try {
      await act();
      onDone(text);
    } catch (error) {
      setProblem(errorText(error));
      setIsBusy(false);
    }
  };
  return { problem, setProblem, isBusy, send };
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

function RoleBoxes({ chosen }: { chosen: Role[] }) {
  return (
    <fieldset className="plain-set">
      <legend className="label">Roles</legend>
      {roles.map(({ role, may }) => (
        <label className="row choice" key={role}>
          <input type="checkbox" name="roles" value={role} defaultChecked={chosen.includes(role)} />
          <span>
            {words(role)} <span className="muted small">{may}</span>
          </span>
        </label>
      ))}
    </fieldset>
  );
}

function AddDialog({ onClose, onDone }: DialogProps) {
  const { problem, setProblem, isBusy, send } = useSend(onDone);
  const add = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const name = String(form.get("name")).trim();
    const chosen = form.getAll("roles") as Role[];
    if (chosen.length === 0) return setProblem("Choose at least one role.");
    void send(
      () => api.addUser({ name, full_name: String(form.get("full_name")).trim(), roles: chosen, password: String(form.get("password")) }),
      `${name} may log in.`,
    );
  };
  return (
    <Modal title="Add a user" open onClose={onClose}>
      <form className="stack" onSubmit={add}>
        {problem && <Fault error={new Error(problem)} />}
        <div className="field">
          <label htmlFor="user-name">Name to log in with: small letters, digits, . _ -</label>
          <input id="user-name" name="name" className="input" pattern="[a-z][a-z0-9._\-]{0,62}" autoComplete="off" required />
        </div>
        <div className="field">
          <label htmlFor="user-full">Full name</label>
          <input id="user-full" name="full_name" className="input" maxLength={200} autoComplete="off" />
        </div>
        <RoleBoxes chosen={["analyst"]} />
        <div className="field">
          <label htmlFor="user-password">First password, at least 12 characters</label>
          <input id="user-password" name="password" type="password" className="input" minLength={12} autoComplete="new-password" required />
        </div>
        <Feet isBusy={isBusy} onClose={onClose} label="Add" />
      </form>
    </Modal>
  );
}

function RolesDialog({ user, onClose, onDone }: DialogProps & { user: User }) {
  const { problem, setProblem, isBusy, send } = useSend(onDone);
  const change = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const chosen = new FormData(event.currentTarget).getAll("roles") as Role[];
    if (chosen.length === 0) return setProblem("Choose at least one role, or lock the user out.");
    void send(() => api.setRoles(user.name, chosen), `${user.name} has other roles.`);
  };
  return (
    <Modal title={`Roles of ${user.name}`} open onClose={onClose}>
      <form className="stack" onSubmit={change}>
        {problem && <Fault error={new Error(problem)} />}
        <RoleBoxes chosen={user.roles} />
        <p className="small muted">This ends the user's sessions.</p>
        <Feet isBusy={isBusy} onClose={onClose} label="Change" />
      </form>
    </Modal>
  );
}

function PasswordDialog({ user, onClose, onDone }: DialogProps & { user: User }) {
  const { problem, isBusy, send } = useSend(onDone);
  const change = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const password = String(new FormData(event.currentTarget).get("password"));
    void send(() => api.setPassword(user.name, password), `${user.name} has another password.`);
  };
  return (
    <Modal title={`Password of ${user.name}`} open onClose={onClose}>
      <form className="stack" onSubmit={change}>
        {problem && <Fault error={new Error(problem)} />}
        <div className="field">
          <label htmlFor="reset-password">New password, at least 12 characters</label>
          <input id="reset-password" name="password" type="password" className="input" minLength={12} autoComplete="new-password" required />
        </div>
        <p className="small muted">This ends the user's sessions.</p>
        <Feet isBusy={isBusy} onClose={onClose} label="Change" />
      </form>
    </Modal>
  );
}
