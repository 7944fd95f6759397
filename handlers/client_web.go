package handlers

// webSnippet is what a web page and its service worker need. The browser test runs it as
// it stands.
func webSnippet(signed bool) snippet {
	return snippet{base: webBase, register: webRegister, receipt: webWorker,
		bind: pick(signed, `// signature and time come from your own server, which knows who is logged in.
const device = await Hongyan.kept('readonly', (store) => store.get('device'));
const s = await myServer.bindSignature(device.token);
await Hongyan.call('accounts/bind', { account: s.account, time: s.time, signature: s.signature });`,
			`// After login. The account is the user's id in your IM.
await Hongyan.call('accounts/bind', { account: userID });`) + `

// At logout, or the next person at this browser sees the messages of the last one.
await Hongyan.call('accounts/unbind', { account: userID });`,
	}
}

const webBase = `// hongyan.js, for the page and the service worker.
const Hongyan = {
  server: '{{SERVER}}/device/v1/',

  // Calls the device API. A body makes it a POST.
  async call(path, body) {
    const headers = { 'X-Access-ID': '{{ACCESS_ID}}', 'X-Access-Key': '{{ACCESS_KEY}}' };
    const device = await Hongyan.kept('readonly', (store) => store.get('device'));
    if (device) Object.assign(headers, { 'X-Device-Token': device.token, 'X-Device-Secret': device.secret });
    if (body) headers['Content-Type'] = 'application/json';
    const answer = await fetch(Hongyan.server + path, {
      method: body ? 'POST' : 'GET', headers, body: body && JSON.stringify(body), credentials: 'omit',
    });
    if (answer.ok) return answer.status === 204 ? {} : answer.json();
    const { error } = await answer.json();
    if (error.code === 'bad_device') await Hongyan.kept('readwrite', (store) => store.delete('device'));
    throw Object.assign(new Error(error.message), { code: error.code });
  },

  // Subscribes this browser with the app's key and registers it.
  async register(worker) {
    const { public_key: key } = await Hongyan.call('web-push-key');
    let subscription = await worker.pushManager.getSubscription();
    if (subscription && base64url(subscription.options.applicationServerKey) !== key) {
      await subscription.unsubscribe(); // the key has changed: what it signs would not be delivered here
      subscription = null;
    }
    subscription ??= await worker.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: key });
    const body = {
      routes: [{ channel: 'web', token: JSON.stringify(subscription) }],
      brand: 'Web', model: navigator.userAgentData?.platform || navigator.platform,
      language: navigator.language, time_zone: Intl.DateTimeFormat().resolvedOptions().timeZone,
      notifications: Notification.permission === 'granted',
    };
    const { device_token: token, device_secret: secret } = await Hongyan.call('register', body).catch((error) => {
      if (error.code !== 'bad_device') throw error;
      return Hongyan.call('register', body); // as a new device
    });
    // The secret is shown the first time only.
    if (secret) await Hongyan.kept('readwrite', (store) => store.put({ token, secret }, 'device'));
  },

  // Where page and service worker both find the device's token and secret.
  kept(mode, act) {
    return new Promise((done, failed) => {
      const opening = indexedDB.open('hongyan', 1);
      opening.onupgradeneeded = () => opening.result.createObjectStore('kept');
      opening.onerror = () => failed(opening.error);
      opening.onsuccess = () => {
        const db = opening.result, request = act(db.transaction('kept', mode).objectStore('kept'));
        request.onsuccess = () => { db.close(); done(request.result); };
        request.onerror = () => { db.close(); failed(request.error); };
      };
    });
  },
};

const base64url = (bytes) => btoa(String.fromCharCode(...new Uint8Array(bytes)))
  .replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');`

const webRegister = `// The page, after <script src="/hongyan.js"></script>.
async function startPush() {
  await navigator.serviceWorker.register('/sw.js');
  if (Notification.permission === 'granted') await Hongyan.register(await navigator.serviceWorker.ready);
}
startPush();

// Browsers ask the user only after a click.
document.querySelector('#push-on').addEventListener('click', async () => {
  if (await Notification.requestPermission() === 'granted') await startPush();
});`

const webWorker = `// sw.js
importScripts('/hongyan.js');

self.addEventListener('push', (event) => {
  const message = event.data.json(); // id, title, body, tag, badge, silent, thread, data
  event.waitUntil(Promise.all([show(message), report(message.data, 'arrived')]));
});

self.addEventListener('notificationclick', (event) => {
  event.notification.close();
  event.waitUntil(Promise.all([openPage(), report(event.notification.data, 'clicked')]));
});

self.addEventListener('notificationclose', (event) => {
  event.waitUntil(report(event.notification.data, 'cleared'));
});

// The browser has thrown the subscription away: make another.
self.addEventListener('pushsubscriptionchange', (event) => {
  event.waitUntil(Hongyan.register(self.registration));
});

async function show(message) {
  if (message.badge !== undefined) navigator.setAppBadge?.(message.badge).catch(() => {}); // installed pages only
  await self.registration.showNotification(message.title || location.hostname, {
    body: message.body, data: message.data, silent: Boolean(message.silent),
    tag: message.tag || message.id, renotify: Boolean(message.tag), // a repeated message replaces itself
  });
}

async function report(data, status) {
  const id = data?.hy_mid;
  if (!id) return;
  const receipts = [{ message_id: id, status }];
  await Hongyan.call('receipts', { receipts }).catch(() => {}); // nobody waits for it
}

async function openPage() {
  const [page] = await clients.matchAll({ type: 'window', includeUncontrolled: true });
  return page ? page.focus() : clients.openWindow('/');
}`
