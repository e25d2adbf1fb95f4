//! Checks that the targets of links and paths in the documentation exist.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use pulldown_cmark::{CowStr, Event, Options, Parser, Tag, TagEnd};

/// Code spans that begin like this are paths from the root of the repository.
const FOLDERS: [&str; 11] =
    ["src/", "crates/", "tests/", "benches/", "fuzz/", "docs/", "deploy/", "helm/", "terraform/", ".ci/", ".github/"];

/// A page of the documentation: what it points to, and what others can point to.
#[derive(Default)]
struct Page {
    links: Vec<String>,
    anchors: HashSet<String>,
    paths: Vec<String>,
}

impl Page {
    fn parse(markdown: &str) -> Self {
        let (mut page, mut heading, mut slugs) = (Self::default(), None::<String>, HashMap::new());
        for event in Parser::new_ext(markdown, Options::ENABLE_TABLES) {
            match event {
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    page.links.push(dest_url.into_string());
                }
                Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
                Event::End(TagEnd::Heading(_)) => {
                    let slug = slug(&heading.take().unwrap_or_default());
                    let count = slugs.entry(slug.clone()).or_insert(0);
                    page.anchors.insert(if *count == 0 { slug } else { format!("{slug}-{count}") });
                    *count += 1;
                }
                Event::Code(text) => {
                    page.add_path(&text);
                    if let Some(heading) = &mut heading {
                        heading.push_str(&text);
                    }
                }
                // terraform-docs writes `<a name="…">`.
                Event::InlineHtml(tag) | Event::Html(tag) => {
                    let names = tag.split("name=\"").skip(1).filter_map(|rest| rest.split_once('"'));
                    page.anchors.extend(names.map(|(name, _)| name.to_owned()));
                }
                Event::Text(text) => {
                    if let Some(heading) = &mut heading {
                        heading.push_str(&text);
                    }
                }
                _ => {}
            }
        }
        page
    }

    fn add_path(&mut self, text: &CowStr<'_>) {
        let is_path = FOLDERS.iter().any(|folder| text.starts_with(folder));
        let is_plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "/._-@".contains(c));
        if is_path && is_plain {
            self.paths.push(text.to_string());
        }
    }
}

/// The anchor that GitHub and mdBook give a heading.
fn slug(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).flat_map(char::to_lowercase).collect()
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The pages in a folder, and in the folders in it if asked for; paths from the root.
fn pages_in(folder: &str, is_deep: bool) -> Vec<PathBuf> {
    let mut pages = Vec::new();
    for entry in fs::read_dir(root().join(folder)).unwrap() {
        let (name, path) = entry.map(|entry| (entry.file_name(), Path::new(folder).join(entry.file_name()))).unwrap();
        if root().join(&path).is_dir() {
            if is_deep && !name.to_string_lossy().starts_with('.') {
                pages.extend(pages_in(path.to_str().unwrap(), true));
            }
        } else if path.extension().is_some_and(|extension| extension == "md") {
            pages.push(path);
        }
    }
    pages
}

fn all_pages() -> HashMap<PathBuf, Page> {
    let shallow = ["", "docs"].into_iter().flat_map(|folder| pages_in(folder, false));
    let deep = ["helm", "terraform"].into_iter().flat_map(|folder| pages_in(folder, true));
    let parse = |path: PathBuf| {
        let page = Page::parse(&fs::read_to_string(root().join(&path)).unwrap());
        (path, page)
    };
    shallow.chain(deep).map(parse).collect()
}

/// Where a link of this page leads to in the repository; `None` if it leaves it, an error if no such path can be.
fn target(page: &Path, link: &str) -> Result<Option<(PathBuf, Option<String>)>, String> {
    if link.contains("://") || link.starts_with("mailto:") {
        return Ok(None);
    }
    let (path, anchor) = link.split_once('#').map_or((link, None), |(path, anchor)| (path, Some(anchor.to_owned())));
    if path.is_empty() {
        return Ok(Some((page.to_owned(), anchor)));
    }
    let mut parts: Vec<_> = page.parent().unwrap().components().collect();
    for part in Path::new(path).components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => drop(parts.pop().ok_or("leads out of the repository")?),
            Component::Normal(_) => parts.push(part),
            _ => return Err("is no relative path".to_owned()),
        }
    }
    Ok(Some((parts.into_iter().collect(), anchor)))
}

/// Checks a link or a path of a page; returns the error.
fn faults(path: &Path, page: &Page, pages: &HashMap<PathBuf, Page>) -> Vec<String> {
    let mut faults = Vec::new();
    for link in &page.links {
        let fault = match target(path, link) {
            Err(fault) => Some(fault),
            Ok(Some((target, _))) if !pages.contains_key(&target) && !root().join(&target).exists() => {
                Some("does not exist".to_owned())
            }
            Ok(None | Some((_, None))) => None,
            Ok(Some((target, Some(anchor)))) => {
                let is_there = pages.get(&target).is_some_and(|page| page.anchors.contains(&anchor));
                (!is_there).then(|| format!("{} has no heading for #{anchor}", target.display()))
            }
        };
        faults.extend(fault.map(|fault| format!("{}: {link}: {fault}", path.display())));
    }
    let missing = page.paths.iter().filter(|named| !root().join(named).exists());
    faults.extend(missing.map(|named| format!("{}: `{named}` does not exist", path.display())));
    faults
}

#[test]
fn every_link_between_the_pages_and_into_the_repository_leads_somewhere() {
    let pages = all_pages();
    for page in
        ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "docs/README.md", "terraform/aws/README.md"]
    {
        assert!(pages.contains_key(Path::new(page)), "{page} is not looked at");
    }
    let faults: Vec<_> = pages.iter().flat_map(|(path, page)| faults(path, page, &pages)).collect();
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn faults_of_links_are_found() {
    let text = "# A `b` heading\n## Twice\n## Twice\n[a](README.md#two-commands) [b](#a-b-heading) [c](#twice-1) \
        [d](https://example.org/no) [e](missing.md) [f](README.md#missing) ![g](../out.png) [h](/etc/hostname) `docs/missing.md`";
    let page = Page::parse(text);
    let found = faults(
        Path::new("page.md"),
        &page,
        &HashMap::from([("page.md".into(), Page::parse(text)), ("README.md".into(), Page::parse("## Two commands"))]),
    );
    let wanted = [
        "page.md: missing.md: does not exist",
        "page.md: README.md#missing: README.md has no heading for #missing",
        "page.md: ../out.png: leads out of the repository",
        "page.md: /etc/hostname: is no relative path",
        "page.md: `docs/missing.md` does not exist",
    ];
    assert_eq!(found, wanted);
}

#[test]
fn every_page_is_in_the_index_and_in_the_book() {
    let pages = all_pages();
    let linked = |from: &str| {
        let links = pages[Path::new(from)].links.iter().map(|link| target(Path::new(from), link).unwrap());
        links.flatten().map(|(path, _)| path).collect::<HashSet<_>>()
    };
    let (index, book) = (linked("docs/README.md"), linked("docs/SUMMARY.md"));
    for page in pages_in("docs", false).iter().filter(|page| !page.ends_with("SUMMARY.md")) {
        assert!(page.ends_with("README.md") || index.contains(page), "{} is not in docs/README.md", page.display());
        assert!(book.contains(page), "{} is not in docs/SUMMARY.md", page.display());
    }
    // A link from a page of the book to a page beside it would be dead in the book.
    for (path, page) in pages.iter().filter(|(path, _)| book.contains(*path)) {
        for (to, _) in page.links.iter().filter_map(|link| target(path, link).unwrap()) {
            let is_page = to.extension().is_some_and(|extension| extension == "md");
            assert!(
                !is_page || book.contains(&to),
                "{} leads to {}, which is not in the book",
                path.display(),
                to.display()
            );
        }
    }
}

/// README shows some of the figures, and docs/performance.md has all of them: they are measured again together.
#[test]
fn figures_of_readme_are_those_of_the_page_about_performance() {
    let read = |page: &str| fs::read_to_string(root().join(page)).unwrap();
    let (readme, performance) = (read("README.md"), read("docs/performance.md"));
    let section = readme.split_once("## Speed\n").unwrap().1.split("\n## ").next().unwrap();
    let cells = section.lines().filter(|line| line.starts_with('|')).flat_map(|line| line.split('|'));
    let figures = cells.flat_map(|cell| cell.split(", ")).map(str::trim);
    let figures: Vec<_> = figures.filter(|figure| figure.contains(|c: char| c.is_ascii_digit())).collect();
    assert!(figures.len() >= 10, "{figures:?}");
    let other: Vec<_> = figures.iter().filter(|figure| !performance.contains(*figure)).collect();
    assert!(other.is_empty(), "not in docs/performance.md: {other:?}");
}
