// The explorer in a real browser: `make kit KIT=explorer`.
import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';

import { axe, HOSTILE, identity, NODES, Registry, startBrowser } from './network.mjs';

const WIDE = { width: 1280, height: 900 };
const NARROW = { width: 360, height: 740 };
const DOWN = identity('DMaritime');

let registry;
let browser;
let problems = [];

before(async () => {
    // More nodes than one page has.
    const many = Array.from({ length: 50 }, (_, at) => ({
        key: `H${'ABCDEFGHJK'[Math.floor(at / 10)]}${'abcdefghij'[at % 10]}`, layer: 1 + (at % 3), location: 'Rack', reputation: 100 + at, v4: true,
    }));
    registry = await Registry.start(process.env.PROGRAM, [...NODES, ...many]);
    browser = await startBrowser();
});

after(async () => {
    await browser?.close();
    await registry?.stop();
});

afterEach(() => {
    const found = problems;
    problems = [];
    assert.deepEqual(found, [], 'errors on the console, or requests that fail or leave the server');
});

// Runs the steps on a fresh page, and records what goes wrong beside them.
async function on(path, options, steps) {
    const context = await browser.newContext({ viewport: WIDE, baseURL: registry.url, ...options });
    const page = await context.newPage();
    page.on('console', (message) => ['error', 'warning'].includes(message.type()) && problems.push(message.text()));
    page.on('pageerror', (error) => problems.push(String(error)));
    page.on('dialog', async (dialog) => {
        problems.push(`dialog: ${dialog.message()}`);
        await dialog.dismiss();
    });
    page.on('request', (request) => request.url().startsWith(`${registry.url}/`) || problems.push(`request to ${request.url()}`));
    page.on('requestfailed', (request) => {
        const reason = request.failure()?.errorText;
        // Leaving a page ends the request for its icon.
        if (reason !== 'net::ERR_ABORTED') {
            problems.push(`failed: ${request.url()}: ${reason}`);
        }
    });
    try {
        await page.goto(path);
        await steps(page);
    } finally {
        await context.close();
    }
}

const keys = (page) => page.locator('tbody .key').evaluateAll((links) => links.map((link) => link.getAttribute('href').slice('/nodes/'.length)));

// Takes a step that leads to another page, and waits for that page.
const follow = (page, step) => Promise.all([page.waitForEvent('load'), step()]);

test('a node is found by its key, and its page has the whole key', async () => {
    await on('/', {}, async (page) => {
        await page.getByLabel('Search').fill(identity('9Athina'));
        await follow(page, () => page.keyboard.press('Enter'));
        assert.deepEqual(await keys(page), [identity('9Athina')]);
        await follow(page, () => page.locator('tbody .key').click());
        assert.equal(new URL(page.url()).pathname, `/nodes/${identity('9Athina')}`);
        assert.equal(await page.locator('dd code').first().textContent(), identity('9Athina'));
        assert.match(await page.locator('main').textContent(), /Active.*Αθήνα/s);
    });
});

test('columns sort in both directions', async () => {
    await on('/', {}, async (page) => {
        const header = page.getByRole('columnheader', { name: 'Reputation' });
        await follow(page, () => header.getByRole('link').click());
        assert.equal(await header.getAttribute('aria-sort'), 'ascending');
        assert.equal((await keys(page))[0], identity('EKiwi'));
        await follow(page, () => header.getByRole('link').click());
        assert.equal(await header.getAttribute('aria-sort'), 'descending');
        assert.equal((await keys(page))[0], identity('6Jungfrau'));
    });
});

test('filters by layer and state combine, by keyboard alone', async () => {
    await on('/', {}, async (page) => {
        await page.getByLabel('Layer', { exact: true }).focus();
        await page.keyboard.type('3');
        await page.keyboard.press('Tab');
        await page.keyboard.type('Down');
        await page.keyboard.press('Tab');
        await page.keyboard.press('Tab');
        await page.keyboard.press('Enter');
        await page.waitForURL(/layer=3.*state=down/);
        assert.deepEqual(await keys(page), [DOWN]);
        await follow(page, () => page.getByRole('link', { name: 'Clear' }).click());
        assert.equal((await keys(page)).length, 50);
    });
});

test('a long list has pages', async () => {
    await on('/?sort=key', {}, async (page) => {
        const first = await keys(page);
        await follow(page, () => page.getByRole('link', { name: 'Next' }).click());
        const second = await keys(page);
        assert.equal(new Set([...first, ...second]).size, NODES.length + 50);
        assert.equal(await page.getByRole('link', { name: 'Next' }).count(), 0);
    });
});

test('a broken node is described with what to do', async () => {
    await on(`/nodes/${DOWN}`, {}, async (page) => {
        const text = await page.locator('.advice').textContent();
        for (const word of ['--host', '--announce-host', 'IPv6', 'ulimit -n']) {
            assert.ok(text.includes(word), word);
        }
        assert.equal(await page.getByRole('img', { name: /^IPv[46]: 0.% of 1 test passed/ }).count(), 2);
    });
});

test('a hostile location is text', async () => {
    for (const path of ['/?layer=2', `/nodes/${identity('BHosti')}`, `/?q=${encodeURIComponent(HOSTILE)}`]) {
        await on(path, {}, async (page) => {
            const shown = await page.locator('bdi').allTextContents();
            assert.ok(shown.some((text) => HOSTILE.startsWith(text.replace(/…$/, '')) && text.startsWith('<script>')), `${path}: ${shown}`);
            assert.equal(await page.locator('script, main img').count(), 0);
        });
    }
});

test('the pages are dark for readers who prefer it', async () => {
    const brightness = async (colorScheme) => {
        let value;
        await on('/', { colorScheme }, async (page) => {
            const colour = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
            value = Math.max(...colour.match(/\d+/g).map(Number));
        });
        return value;
    };
    assert.ok((await brightness('light')) > 200);
    assert.ok((await brightness('dark')) < 60);
});

test('the keyboard reaches the content first, and everything works without scripts', async () => {
    await on('/network', { javaScriptEnabled: false }, async (page) => {
        await page.keyboard.press('Tab');
        await page.keyboard.press('Enter');
        assert.ok(page.url().endsWith('#content'));
        await page.keyboard.press('Tab');
        await page.keyboard.press('Enter');
        await page.waitForURL(/\?layer=1/);
    });
});

test('the commands for joining name this registry', async () => {
    await on('/join', {}, async (page) => {
        assert.match(await page.locator('pre').nth(1).textContent(), /--validator http:\/\/203\.0\.113\.5:8081 --allow-private/);
    });
});

for (const [size, viewport] of [['1280 px', WIDE], ['360 px', NARROW]]) {
    for (const colorScheme of ['light', 'dark']) {
        test(`axe-core finds nothing at ${size}, ${colorScheme}`, async () => {
            const nodes = NODES.map((node) => `/nodes/${identity(node.key)}`);
            for (const path of ['/', '/?layer=2&state=partly', '/?q=nothing', '/network', '/join', ...nodes]) {
                await on(path, { viewport, colorScheme }, async (page) => {
                    await page.locator('details').evaluateAll((all) => all.forEach((details) => (details.open = true)));
                    await page.evaluate(axe);
                    const { violations } = await page.evaluate(() => window.axe.run());
                    const found = violations.map(({ id, nodes: [{ html, failureSummary }] }) => ({ id, html, failureSummary }));
                    assert.deepEqual(found, [], path);
                    const width = await page.evaluate(() => document.documentElement.scrollWidth);
                    assert.ok(width <= viewport.width, `${path} is ${width} px wide`);
                });
            }
        });
    }
}

test('wrong addresses give pages of their own', async () => {
    for (const [path, status, words] of [
        ['/nowhere', 404, 'does not exist'],
        [`/nodes/${identity('JNobody')}`, 404, 'Not registered'],
        ['/?layer=7', 400, 'a number from 1 to 3'],
    ]) {
        await on('/', {}, async (page) => {
            const response = await page.goto(path);
            assert.equal(response.status(), status);
            assert.ok((await page.locator('main').textContent()).includes(words), path);
            // The browser itself reports the status of a page as an error.
            problems = problems.filter((problem) => !problem.startsWith('Failed to load resource'));
        });
    }
});
