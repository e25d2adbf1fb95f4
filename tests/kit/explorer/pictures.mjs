// Draws the pictures of the explorer for the documentation: pictures.mjs FOLDER
import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';

import { identity, NODES, Registry, startBrowser } from './network.mjs';

const folder = process.argv[2];
mkdirSync(folder, { recursive: true });

// The network is a day old: tests each minute, of which each node failed some. Only its clock is missing, so the store
// gets them directly.
const ADD_TESTS = `
import json, sqlite3, sys, time
store, nodes = sqlite3.connect(sys.argv[1]), json.loads(sys.argv[2])
now, number = time.time_ns(), 0
for node in nodes:
    for version in (4, 6):
        if version in node["tested"]:
            for minute in range(1, 1440):
                broken = minute < node["down"].get(str(version), 0) or (minute + node["seed"]) % 431 < node["seed"] // 2
                # The latest measurement is the one with the greatest number.
                number -= 1
                store.execute("INSERT INTO status (id, identity, ip_version, up, at) VALUES (?, ?, ?, ?, ?)",
                    (number, node["identity"], version, not broken, now - minute * 60_000_000_000))
    store.execute("UPDATE node SET registered_at = ? WHERE identity = ?", (now - node["age"] * 3_600_000_000_000, node["identity"]))
store.commit()
`;

const days = (store) => {
    const nodes = NODES.map((node, at) => ({
        identity: identity(node.key),
        tested: [...(node.v4 === undefined ? [] : [4]), ...(node.v6 === undefined ? [] : [6])],
        down: { 4: node.v4 === false ? 190 : 0, 6: node.v6 === false ? 415 : 0 },
        seed: (at * 7) % 11,
        age: 26 + at * 53,
    }));
    execFileSync('python3', ['-c', ADD_TESTS, store, JSON.stringify(nodes)]);
};

const PICTURES = [
    ['nodes', '/', 'light', { width: 1280, height: 980 }],
    ['nodes-dark', '/', 'dark', { width: 1280, height: 980 }],
    ['nodes-narrow', '/', 'light', { width: 360, height: 980 }],
    ['node', `/nodes/${identity('ASavanna')}`, 'light', { width: 1280, height: 1080 }],
    ['network', '/network', 'dark', { width: 1280, height: 900 }],
    ['join', '/join', 'light', { width: 1280, height: 980 }],
];

const registry = await Registry.start(process.env.PROGRAM, NODES, days);
const browser = await startBrowser();
try {
    for (const [name, path, colorScheme, viewport] of PICTURES) {
        const deviceScaleFactor = process.env.WHOLE_PAGES ? 1 : 0.75;
        const page = await browser.newPage({ viewport, colorScheme, deviceScaleFactor });
        await page.goto(registry.url + path);
        const options = process.env.WHOLE_PAGES ? { fullPage: true } : {};
        await page.screenshot({ path: join(folder, `explorer-${name}.png`), ...options });
        await page.close();
    }
} finally {
    await browser.close();
    await registry.stop();
}
