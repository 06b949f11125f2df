// SPDX-License-Identifier: Apache-2.0
// A condition on one line, with completion: arrows choose, Enter or Tab takes, Escape closes, Ctrl-Space opens. A field
// and a list of our own: an editor that puts its style into the page is not allowed by the policy.
import { useId, useLayoutEffect, useMemo, useRef, useState } from "react";
import { type Offer, fitting, wordAt } from "./rules_text";

interface Props {
  label: string;
  value: string;
  offers: Offer[];
  lists: Offer[];
  isWrong: boolean;
  describedBy?: string;
  readOnly: boolean;
  onChange: (value: string) => void;
  onFocus: () => void;
}

export default function Condition(props: Props) {
  const id = useId();
  const field = useRef<HTMLInputElement>(null);
  const taken = useRef<number | null>(null); // where the caret belongs once the text is there
  const [caret, setCaret] = useState<number | null>(null);
  const [isOpen, setIsOpen] = useState(false);
  const [chosen, setChosen] = useState(0);
  const place = caret === null || !isOpen ? null : wordAt(props.value, caret);
  const hits = useMemo(
    () => (place ? fitting(place.isList ? props.lists : props.offers, place.word) : []),
    [place?.word, place?.isList, props.lists, props.offers],
  );
  const isShown = hits.length > 0;
  const at = Math.min(chosen, hits.length - 1);

  // Before the next key comes.
  useLayoutEffect(() => {
    if (taken.current !== null) field.current?.setSelectionRange(taken.current, taken.current);
    taken.current = null;
  }, [props.value]);

  const take = (offer: Offer) => {
    if (!place || caret === null) return;
    const after = props.value.slice(caret);
    const text = place.isList && !after.startsWith('"') ? `${offer.text}")` : offer.text;
    const end = place.from + text.length;
    props.onChange(props.value.slice(0, place.from) + text + after);
    setIsOpen(false);
    setCaret(end);
    taken.current = end;
  };
  return (
    <div className="condition">
      <input
        ref={field} type="text" role="combobox" className="input mono" value={props.value} readOnly={props.readOnly} spellCheck={false}
        autoComplete="off" autoCapitalize="off" aria-label={props.label} aria-autocomplete="list" aria-expanded={isShown}
        aria-controls={isShown ? `${id}-list` : undefined} aria-activedescendant={isShown ? `${id}-${at}` : undefined}
        aria-invalid={props.isWrong || undefined} aria-describedby={props.describedBy}
        onFocus={props.onFocus}
        onBlur={() => setIsOpen(false)}
        onSelect={(event) => setCaret(event.currentTarget.selectionStart)}
        onChange={(event) => {
          props.onChange(event.target.value);
          setCaret(event.target.selectionStart);
          const typed = wordAt(event.target.value, event.target.selectionStart ?? 0);
          setIsOpen(!!typed && (typed.word !== "" || typed.isList));
          setChosen(0);
        }}
        onKeyDown={(event) => {
          if (props.readOnly) return;
          if (event.key === " " && event.ctrlKey) {
            event.preventDefault();
            setCaret(event.currentTarget.selectionStart);
            setIsOpen(true);
            setChosen(0);
          } else if (!isShown) {
            return;
          } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
            event.preventDefault();
            setChosen((at + (event.key === "ArrowDown" ? 1 : hits.length - 1)) % hits.length);
          } else if ((event.key === "Enter" || event.key === "Tab") && !event.shiftKey) {
            event.preventDefault();
            take(hits[at]!);
          } else if (event.key === "Escape") {
            event.preventDefault();
            event.stopPropagation();
            setIsOpen(false);
          }
        }}
      />
      {isShown && (
        <ul className="popover offers" role="listbox" id={`${id}-list`} aria-label="What fits">
          {hits.map((offer, i) => (
            <li
              key={offer.kind + offer.text} id={`${id}-${i}`} role="option" aria-selected={i === at} className="item"
              data-active-item={i === at || undefined}
              onMouseDown={(event) => {
                event.preventDefault();
                take(offer);
              }}
            >
              <span className="mono cut">{offer.text}</span>
              <span className="muted small">{offer.type}</span>
              <span className="muted small cut grow">{offer.about}</span>
              <span className="chip">{offer.kind}</span>
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}
