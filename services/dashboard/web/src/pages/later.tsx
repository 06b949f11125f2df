// SPDX-License-Identifier: Apache-2.0
// What may come after the first paint: nothing below is fetched or drawn before the browser has time for it.
import { type ReactNode, Suspense, useEffect, useState } from "react";
import { Loading, Panel } from "../ui";

export function Later({ title, lines, children }: { title: string; lines: number; children: ReactNode }) {
  const [isTime, setIsTime] = useState(false);
  useEffect(() => {
    const frame = requestAnimationFrame(() => {
      timer = window.setTimeout(() => setIsTime(true), 0);
    });
    let timer = 0;
    return () => {
      cancelAnimationFrame(frame);
      window.clearTimeout(timer);
    };
  }, []);
  const waiting = (
    <Panel title={title}>
      <Loading lines={lines} />
    </Panel>
  );
  return isTime ? <Suspense fallback={waiting}>{children}</Suspense> : waiting;
}
