/** What the parts of a page are by their tags and names. Words are our own choice, tried on the pages of bench/extraction.ts. */

const set = (words: string): ReadonlySet<string> => new Set(words.split(" "));

/** Never text of the page: code, form fields, drawings, what a reader without scripts would see. */
export const silentTags = set(
  "script style noscript template iframe object embed applet canvas svg math audio video map select option optgroup " +
    "datalist textarea input button label legend progress meter output dialog head rt rp frameset noframes noindex title",
);

/** What a head holds; anything else belongs to the body. */
export const headTags = set(
  "title meta link base basefont bgsound script style noscript template object isindex",
);

/** These break a line. */
export const blockTags = set(
  "address article aside blockquote body center dd details dir div dl dt fieldset figcaption figure footer form h1 h2 " +
    "h3 h4 h5 h6 header hgroup hr html li listing main menu nav ol p plaintext pre search section summary table tbody " +
    "td tfoot th thead tr ul caption xmp",
);

export const headingTags = set("h1 h2 h3 h4 h5 h6");

/** Around the main text, unless most of the page's text stands there. */
const asideTags = set("nav footer menu form fieldset search");
const asideRoles = set(
  "navigation banner contentinfo complementary search dialog alertdialog alert menu menubar toolbar tablist tooltip",
);

/** One word of a class or an id that says the same. Words are what stands between capitals, hyphens and the like. */
const asideWords = set(
  "menu submenu menus dropdown breadcrumb breadcrumbs crumbs rail toolbar topbar bottombar " +
    "pagination pager paging paginator skip skiplink jump toc footer footers colophon copyright masthead banner " +
    "comment comments commentlist disqus respond replies cookie cookies consent gdpr ccpa newsletter subscribe " +
    "subscription signup signin login register popup modal overlay lightbox tooltip ad ads advert adverts " +
    "advertisement advertising adslot adsense sponsor sponsors sponsored promo promos promotion taboola outbrain " +
    "share shares sharing sharebar sharethis addthis addtoany social socials related relatedposts recommended " +
    "recommendations recirculation trending popular widget widgets shoutbox tagcloud editsection catlinks " +
    "printfooter noprint hide hidden invisible",
);
const navigation = /^[a-z]{0,8}nav(s|bar|box|igation|list|links?|menu|header|footer)?$/;

/** Boxes beside the main text, or, in textbooks, within it. */
const sidebar = /^(sidebar|aside)s?$/;

/** How an element stands to the main text by its names: `box` may stand in the midst of it. */
export type Standing = "main" | "box" | "aside";

/** What names said; the same few come over and over. */
const known = new Map<string, Standing>();
const kKnownNames = 20_000;

function standingByName(name: string): Standing {
  let standing = known.get(name);
  if (standing === undefined) {
    // A longer class is no name that a person gave: the words at its start decide.
    const words = name
      .slice(0, 400)
      .replace(/([a-z])([A-Z])/g, "$1 $2")
      .toLowerCase()
      .split(/[^a-z]+/);
    standing = "main";
    if (words.some((word) => sidebar.test(word))) standing = "box";
    if (words.some((word) => asideWords.has(word) || navigation.test(word))) standing = "aside";
    if (known.size >= kKnownNames) known.clear();
    known.set(name, standing);
  }
  return standing;
}

type Attributes = Readonly<Record<string, string>>;

/** Whether a browser wouldn't show the element. */
export function isHidden(attributes: Attributes): boolean {
  return (
    "hidden" in attributes ||
    attributes["aria-hidden"] === "true" ||
    (attributes.style !== undefined &&
      /(^|[;\s])(display\s*:\s*none|visibility\s*:\s*hidden)/i.test(attributes.style.slice(0, 1000)))
  );
}

/** What tag, role, class and id say of an element; a header outside of articles is the site's. */
export function standing(tag: string, { role, id, class: names }: Attributes, inArticle: boolean): Standing {
  if (tag === "html" || tag === "body" || tag === "main" || tag === "article") return "main";
  if (asideTags.has(tag) || (role !== undefined && asideRoles.has(role))) return "aside";
  if (tag === "header" && !inArticle) return "aside";
  if (tag === "aside") return "box";
  const byClass = names === undefined ? "main" : standingByName(names);
  return byClass === "main" && id !== undefined ? standingByName(id) : byClass;
}
