/**
 * Words of English that the general rules would split elsewhere, or not at all: "do|n't", "can|not", "5|pm", "Mr.", ":-)".
 * Facts of the tokenizer that datatrove counts words with (spaCy's English exceptions), generated from their rules.
 */

const both = (words: string): string[] =>
  words.split(" ").flatMap((word) => [word, word[0]!.toUpperCase() + word.slice(1)]);

/** Contractions as word|ending; each is split with its apostrophe, straight or curly, and where that was left out. */
function contractions(): string[] {
  const found: string[] = [];
  const add = (words: string[], endings: string): void => {
    for (const word of words) {
      for (const ending of endings.split(" ")) {
        const pieces = [word, ...ending.split("|")].join("|");
        found.push(pieces, pieces.replaceAll("'", ""));
      }
    }
  };
  const future = "'ll 'll|'ve 'd 'd|'ve";
  add(["i", "I"], "'m 'm|a");
  add(both("i you he she it we they"), future);
  add(both("i you we they"), "'ve");
  add(both("you we they"), "'re");
  add(both("he she it"), "'s");
  add(both("who what when where why how there"), `'s ${future} 're 've`);
  add(both("that this"), `'s ${future}`);
  add(both("these those"), `${future} 're 've`);
  add(both("ca could do does did had may might must need ought sha should wo would"), "n't n't|'ve");
  add(both("could might must should would"), "'ve");
  add(both("ai are is was were have has dare"), "n't");
  add(both("not"), "'ve");
  // Words of their own, and not a contraction without its apostrophe.
  const words = new Set(both("ill its hell shell shed were well whore"));
  return found.filter((pieces) => !words.has(pieces.replaceAll("|", "")));
}

const times = (): string[] =>
  Array.from({ length: 12 }, (_, i) => i + 1).flatMap((hour) =>
    ["a.m.", "am", "p.m.", "pm"].map((half) => `${hour}|${half}`),
  );

const split =
  "y'|all y|all how|'d|'y How|'d|'y can|not Can|not gon|na Gon|na got|ta Got|ta let|'s Let|'s c'm|on C'm|on " +
  "°|c|. °|f|. °|k|. °|C|. °|F|. °|K|.";

const whole =
  "'em 'll 'nuff 's 'S ‘s ‘S 're 'd 'cause 'Cause 'cos 'Cos 'coz 'Coz 'cuz 'Cuz 'bout and/or w/o ma'am Ma'am " +
  "o'clock O'clock lovin' Lovin' havin' Havin' doin' Doin' goin' Goin' nothin' Nothin' nuthin' Nuthin' ol' Ol' " +
  "somethin' Somethin' Mt. Ak. Ala. Apr. Ariz. Ark. Aug. Calif. Colo. Conn. Dec. Del. Feb. Fla. Ga. Ia. Id. Ill. " +
  "Ind. Jan. Jul. Jun. Kan. Kans. Ky. La. Mar. Mass. Mich. Minn. Miss. N.C. N.D. N.H. N.J. N.M. N.Y. Neb. Nebr. " +
  "Nev. Nov. Oct. Okla. Ore. Pa. S.C. Sep. Sept. Tenn. Va. Wash. Wis. a.m. Adm. Bros. co. Co. Corp. D.C. Dr. e.g. " +
  "E.g. E.G. Gen. Gov. i.e. I.e. I.E. Inc. Jr. Ltd. Md. Messrs. Mo. Mont. Mr. Mrs. Ms. p.m. Ph.D. Prof. Rep. Rev. " +
  "Sen. St. vs. v.s. \\t \\n — ' \\\") <space> '' C++ ä. ö. ü. " +
  Array.from("abcdefghijklmnopqrstuvwxyz", (letter) => `${letter}.`).join(" ");

const emoticons =
  ":) :-) :)) :-)) :))) :-))) (: (-: =) (= :] :-] [: [-: [= =] :o) (o: :} :-} 8) 8-) (-8 ;) ;-) (; (-; :( :-( :(( " +
  ":-(( :((( :-((( ): )-: =( >:( :') :'-) :'( :'-( :/ :-/ =/ =| :| :-| ]= =[ :1 :P :-P :p :-p :O :-O :o :-o :0 :-0 " +
  ":() >:o :* :-* :3 :-3 =3 :> :-> :X :-X :x :-x :D :-D ;D ;-D =D xD XD xDD XDD 8D 8-D ^_^ ^__^ ^___^ >.< >.> <.< " +
  "._. ;_; -_- -__- v.v V.V v_v V_V o_o o_O O_o O_O 0_o o_0 0_0 o.O O.o O.O o.o 0.0 o.0 0.o @_@ <3 <33 <333 </3 " +
  "(^_^) (-_-) (._.) (>_<) (*_*) (¬_¬) ಠ_ಠ ಠ︵ಠ (ಠ_ಠ) ¯\\(ツ)/¯ (╯°□°）╯︵┻━┻ ><(((*>";

/** Each exception, and the lengths of the words that it makes. */
export const exceptions: ReadonlyMap<string, readonly number[]> = (() => {
  const found = new Map<string, readonly number[]>();
  // An emoticon may hold the bar that parts the pieces of others.
  for (const face of emoticons.split(" ")) found.set(face, [face.length]);
  for (const pieces of [...contractions(), ...times(), ...split.split(" "), ...whole.split(" ")]) {
    const lengths = pieces.split("|").map((piece) => piece.length);
    found.set(pieces.replaceAll("|", ""), lengths);
    found.set(pieces.replaceAll("|", "").replaceAll("'", "’"), lengths);
  }
  return found;
})();

/** UTF-16 code units of the longest one. */
export const longestException: number = Math.max(...[...exceptions.keys()].map((word) => word.length));

const slot = (first: number, last: number, length: number): number =>
  (first * 37 + last * 59 + length * 1021) & 0x3fff;

/** The exceptions of each slot; nearly all slots are empty. */
const bySlot = new Map<number, { codes: Uint16Array; lengths: readonly number[] }[]>();
const taken = new Uint8Array(0x4000);
for (const [word, lengths] of exceptions) {
  const codes = Uint16Array.from({ length: word.length }, (_, i) => word.charCodeAt(i));
  const at = slot(codes[0]!, codes.at(-1)!, codes.length);
  bySlot.set(at, [...(bySlot.get(at) ?? []), { codes, lengths }]);
  taken[at] = 1;
}

/** Lengths of the words of codes [start, end) if they are an exception. What is none costs a look at its two ends. */
export function exceptionAt(codes: Uint16Array, start: number, end: number): readonly number[] | undefined {
  const length = end - start;
  if (length > longestException || length === 0) return undefined;
  const at = slot(codes[start]!, codes[end - 1]!, length);
  if (taken[at] === 0) return undefined;
  for (const exception of bySlot.get(at)!) {
    if (exception.codes.length !== length) continue;
    let same = 0;
    while (same < length && exception.codes[same] === codes[start + same]) same++;
    if (same === length) return exception.lengths;
  }
  return undefined;
}
