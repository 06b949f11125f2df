// SPDX-License-Identifier: Apache-2.0
// A fault in one page is shown in its place; the rest goes on.
import { Component, type ReactNode } from "react";
import { Fault } from "./ui";

export class ErrorBoundary extends Component<{ children: ReactNode }, { error: unknown }> {
  state = { error: null as unknown };

  static getDerivedStateFromError(error: unknown) {
    return { error };
  }

  render() {
    if (this.state.error === null) return this.props.children;
    return (
      <div className="page">
        <Fault error={this.state.error} again={() => this.setState({ error: null })} />
      </div>
    );
  }
}
