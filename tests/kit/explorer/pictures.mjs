// Draws the pictures of the explorer for the documentation: pictures.mjs FOLDER
import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';

import { identity, NODES, Registry, startBrowser } from './network.mjs';

const folder = process.argv[2];
mkdirSync(folder, { recursive: true });

// The network is weeks old. Only its clock is missing, so the store gets the tests of each minute, and what the registry
// counts of them, directly: per hour, and the reputation by the rules (+3, -2, never below 0).
const ADD_HISTORY = `
import json, math, sqlite3, sys, time
store, nodes = sqlite3.connect(sys.argv[1]), json.loads(sys.argv[2])
now, minute, hour = time.time_ns(), 60_000_000_000, 3_600_000_000_000
layers, number = {}, 0
for node in nodes:
    reputation, uptime = 0, {}
    for ago in range(node["age"], 0, -1):
        at = now - ago * minute
        for version in node["tested"]:
            broken = any(first >= ago > last for first, last in node["down"].get(str(version), [])) or (ago * 7 + version) % 397 < node["seed"]
            reputation = max(0, reputation + (-2 if broken else 3))
            if ago < 1440:
                number += 1
                store.execute("INSERT INTO status (id, identity, ip_version, up, at) VALUES (?, ?, ?, ?, ?)",
                    (number - 1_000_000, node["identity"], version, not broken, at))
            for counts in (uptime.setdefault((version, at // hour), [0, 0, 0]), layers.setdefault((at // hour, node["layer"]), [0, 0, 0])):
                counts[0] += not broken
                counts[1] += 1
                counts[2] = reputation
    store.executemany("INSERT OR REPLACE INTO uptime (identity, ip_version, hour, up, total, reputation) VALUES (?, ?, ?, ?, ?, ?)",
        [(node["identity"], version, at, *counts) for (version, at), counts in uptime.items()])
    store.execute("UPDATE reputation SET score = ? WHERE identity = ?", (reputation, node["identity"]))
    store.execute("UPDATE node SET registered_at = ? WHERE identity = ?", (now - node["age"] * minute, node["identity"]))
for (at, layer), (up, total, _) in layers.items():
    # Only mixnodes report packets.
    received = 0 if layer == 0 else int(41_000 + 17_000 * math.sin((at % 24 - 9) * math.pi / 12) + at * 7919 % 2300)
    members = sum(node["layer"] == layer for node in nodes)
    store.execute("INSERT OR REPLACE INTO layer_hour (hour, layer, nodes, received, total, up) VALUES (?, ?, ?, ?, ?, ?)",
        (at, layer, members, received, total, up))
store.commit()
`;

// Ages in minutes, and the minutes ago in which a node failed over an IP version: from, to.
const DAY = 1440;
const HISTORIES = {
    '6Jungfrau': { age: 24 * DAY }, '7Geyser': { age: 19 * DAY, down: { 6: [[9 * DAY, 8 * DAY]] } }, '8Samba': { age: 5 },
    '9Athina': { age: 16 * DAY }, ASavanna: { age: 9 * DAY, down: { 4: [[6 * DAY, 6 * DAY - 700]], 6: [[6 * DAY, 6 * DAY - 700], [415, 0]] } },
    BHosti: { age: 3 * DAY }, CSauna: { age: 12 * DAY, down: { 4: [[800, 770]] } },
    DMaritime: { age: 2 * DAY, down: { 4: [[190, 0]], 6: [[190, 0]] } }, EKiwi: { age: 90 },
    FRhine: { age: 21 * DAY }, GFado: { age: 3 },
};

const addHistory = (store) => {
    const nodes = NODES.map((node, at) => ({
        identity: identity(node.key),
        layer: node.layer ?? 0,
        tested: [...(node.v4 === undefined ? [] : [4]), ...(node.v6 === undefined ? [] : [6])],
        down: {},
        seed: (at * 5) % 4,
        ...HISTORIES[node.key],
    }));
    execFileSync('python3', ['-c', ADD_HISTORY, store, JSON.stringify(nodes)]);
};

const NODE = `/nodes/${identity('ASavanna')}`;

const PICTURES = [
    ['nodes', '/', 'light', { width: 1280, height: 980 }],
    ['nodes-dark', '/', 'dark', { width: 1280, height: 980 }],
    ['nodes-narrow', '/', 'light', { width: 360, height: 980 }],
    ['node', NODE, 'light', { width: 1280, height: 740 }, 'whole'],
    ['network', '/network', 'dark', { width: 1280, height: 740 }, 'whole'],
    ['join', '/join', 'light', { width: 1280, height: 740 }, 'whole'],
];

// With WHOLE_PAGES in the environment: every page as a whole, wide and narrow, light and dark, for a review.
const WHOLE_PAGES = [['nodes', '/'], ['node', NODE], ['network', '/network'], ['join', '/join'], ['down', `/nodes/${identity('DMaritime')}`]]
    .flatMap(([name, path]) => [1280, 360].flatMap((width) =>
        ['light', 'dark'].map((scheme) => [`${name}-${width}-${scheme}`, path, scheme, { width, height: 740 }, 'whole'])));

const isReview = Boolean(process.env.WHOLE_PAGES);
const registry = await Registry.start(process.env.PROGRAM, NODES, addHistory);
const browser = await startBrowser();
try {
    for (const [name, path, colorScheme, viewport, whole] of isReview ? WHOLE_PAGES : PICTURES) {
        const page = await browser.newPage({ viewport, colorScheme, deviceScaleFactor: isReview ? 1 : 0.75 });
        await page.goto(registry.url + path);
        await page.screenshot({ path: join(folder, `explorer-${name}.png`), fullPage: whole !== undefined });
        await page.close();
    }
} finally {
    await browser.close();
    await registry.stop();
}
