mod files;
mod pinned;
