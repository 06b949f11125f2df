// SPDX-License-Identifier: Apache-2.0
import { type FormEvent, useState } from "react";
import { api, errorText } from "../api";
import { Modal, useSay } from "../ui";

export default function Password({ onClose }: { onClose: () => void }) {
  const [problem, setProblem] = useState<string | null>(null);
  const say = useSay();
  const change = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const fresh = String(form.get("new"));
    if (fresh.length < 12) return setProblem("The new password needs at least 12 characters.");
    if (fresh !== form.get("again")) return setProblem("The new password was typed differently the second time.");
    try {
      await api.changePassword(String(form.get("old")), fresh);
      say("Your password is changed; your other sessions are over.");
      onClose();
    } catch (error) {
      setProblem(errorText(error));
    }
  };
  return (
    <Modal title="Change password" open onClose={onClose}>
      <form className="stack" onSubmit={(event) => void change(event)}>
        {problem && (
          <p className="fault" role="alert">
            {problem}
          </p>
        )}
        <div className="field">
          <label htmlFor="old">Password until now</label>
          <input id="old" name="old" type="password" className="input" autoComplete="current-password" required />
        </div>
        <div className="field">
          <label htmlFor="new">New password, at least 12 characters</label>
          <input id="new" name="new" type="password" className="input" autoComplete="new-password" required />
        </div>
        <div className="field">
          <label htmlFor="again">New password again</label>
          <input id="again" name="again" type="password" className="input" autoComplete="new-password" required />
        </div>
        <div className="actions">
          <button type="button" className="button" onClick={onClose}>
            Cancel
          </button>
          <button type="submit" className="button primary">
            Change it
          </button>
        </div>
      </form>
    </Modal>
  );
}
