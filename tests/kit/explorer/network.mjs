// A registry with nodes in every state, and a browser, for the tests and the pictures of the explorer.
//
// Both run in a network namespace of their own that has only loopback, with the address of the registry on it
// (`in_own_network` beside this file).
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const ADDRESS = '203.0.113.5';

export const HOSTILE = '<script>alert(1)</script><img src=x onerror=alert(2)>';

// key: the first characters of the identity; v4, v6: the results of its tests.
export const NODES = [
    { key: '6Jungfrau', layer: 1, location: 'Zürich, Switzerland', reputation: 412, v4: true, v6: true },
    { key: '7Geyser', layer: 1, location: 'Reykjavík', reputation: 187, v4: true, v6: true },
    { key: '8Samba', layer: 1, location: 'São Paulo', reputation: 31, v4: true, v6: true },
    { key: '9Athina', layer: 2, location: 'Αθήνα', reputation: 260, v4: true, v6: true },
    { key: 'ASavanna', layer: 2, location: 'Nairobi', reputation: 139, v4: true, v6: false },
    { key: 'BHosti', layer: 2, location: HOSTILE, reputation: 104, v4: true, v6: true },
    { key: 'CSauna', layer: 3, location: 'Helsinki', reputation: 118, v4: true },
    { key: 'DMaritime', layer: 3, location: 'Toronto', reputation: 66, v4: false, v6: false },
    { key: 'EKiwi', layer: 3, location: 'Wellington', reputation: 0 },
    { key: 'FRhine', location: 'Basel', reputation: 120, v4: true },
    { key: 'GFado', location: 'Lisboa', reputation: 9, v4: true },
];

// A key of 32 bytes has 43 digits in base58 if the first one is above 4.
export function identity(key) {
    return key.padEnd(43, 'x');
}

export class Registry {
    // A registry with these nodes and one round of tests.
    static async start(program, nodes = NODES, whileStopped = () => {}) {
        const registry = new Registry();
        registry.url = `http://${ADDRESS}:8081`;
        registry.program = program;
        registry.folder = mkdtempSync(join(tmpdir(), 'explorer-'));
        // A list of identities stands for the proofs of their addresses. Afterwards everybody is admitted.
        const list = join(registry.folder, 'identities');
        writeFileSync(list, nodes.map((node) => identity(node.key)).join('\n'));
        await registry.run('--admit', list);
        registry.token = readFileSync(join(registry.folder, 'monitor.token'), 'utf8').trim();
        for (const [at, node] of nodes.entries()) {
            await registry.register(node, at + 1);
        }
        await registry.round(nodes);
        for (const node of nodes) {
            await registry.asMonitor('PATCH', `/api/mixmining/reputation/${identity(node.key)}?reputation=${node.reputation}`);
        }
        await registry.end();
        whileStopped(join(registry.folder, 'registry.sqlite'));
        await registry.run();
        return registry;
    }

    async run(...flags) {
        const all = ['registry', '--listen', `${ADDRESS}:8081`, '--allow-private', '--data', `${this.folder}/`, ...flags];
        this.process = spawn(this.program, all, { stdio: ['ignore', 'pipe', 'inherit'], env: { ...process.env, RUST_LOG: 'warn' } });
        await new Promise((ready, failed) => {
            this.process.stdout.once('data', ready);
            this.process.once('exit', (code) => failed(new Error(`the registry ended with ${code}`)));
        });
    }

    async end() {
        const ended = new Promise((done) => this.process.once('exit', done));
        this.process.kill();
        await ended;
    }

    async stop() {
        await this.end();
        rmSync(this.folder, { recursive: true });
    }

    async call(method, path, body, headers = {}) {
        const type = body === undefined ? {} : { 'content-type': 'application/json' };
        const response = await fetch(this.url + path, { method, headers: { ...type, ...headers }, body: JSON.stringify(body) });
        if (!response.ok) {
            throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
        }
        return response.json();
    }

    async asMonitor(method, path, body) {
        return this.call(method, path, body, { authorization: `Bearer ${this.token}` });
    }

    async register(node, number) {
        const v6 = node.v6 === undefined ? [] : [`[2001:db8::${number}]:1789`];
        const mixHosts = [`192.0.2.${number}:1789`, ...v6];
        const [role, rest] = node.layer ? ['mix', { layer: node.layer }] : ['gateway', { clientsHost: `ws://192.0.2.${number}:9000` }];
        await this.call('POST', `/api/mixmining/register/${role}`, {
            mixHost: mixHosts[0], ...(mixHosts.length > 1 && { mixHosts }), identityKey: identity(node.key),
            sphinxKey: identity('9' + node.key), version: '0.9.2', location: node.location, incentivesAddress: '', ...rest,
        });
    }

    // One round of tests.
    async round(nodes) {
        const result = (node, ipVersion, up) => (up === undefined ? [] : [{ pubKey: identity(node.key), ipVersion, up }]);
        const status = nodes.flatMap((node) => [...result(node, '4', node.v4), ...result(node, '6', node.v6)]);
        await this.asMonitor('POST', '/api/mixmining/batch', { status });
    }
}

// EXPLORER_MODULES is the folder in which playwright-core and axe-core are installed.
const modules = createRequire(join(process.env.EXPLORER_MODULES, 'package.json'));

export const axe = readFileSync(modules.resolve('axe-core/axe.min.js'), 'utf8');

export async function startBrowser() {
    const flags = ['--no-sandbox', '--disable-background-networking', '--disable-component-update', '--no-first-run'];
    return modules('playwright-core').chromium.launch({ executablePath: process.env.CHROMIUM, args: flags });
}
