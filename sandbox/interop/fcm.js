'use strict';
// Sends through firebase-admin as told on standard input and prints, as JSON, what that
// client makes of the answers. It knows Google's addresses only; what it would dial
// there goes to the simulator instead.
const tls = require('node:tls');

let input = '';
process.stdin.on('data', (d) => { input += d; });
process.stdin.on('end', async () => {
  const job = JSON.parse(input);
  const dialled = new Set();
  const connect = tls.connect;
  tls.connect = (...args) => {
    const options = args.find((a) => a !== null && typeof a === 'object');
    dialled.add(options.host);
    return connect({
      ...options, host: job.host, port: job.port, ca: job.ca, servername: '',
      checkServerIdentity: (_, certificate) => tls.checkServerIdentity(job.host, certificate),
    }, args.find((a) => typeof a === 'function'));
  };
  const { initializeApp, cert, deleteApp } = require('firebase-admin/app');
  const { getMessaging } = require('firebase-admin/messaging');
  const app = initializeApp({ credential: cert(JSON.parse(job.account)) });
  const messaging = getMessaging(app);
  messaging.enableLegacyHttpTransport(); // HTTP/1.1, see fcm_test.go
  const out = { answers: [], dialled: [] };
  const say = (r) => out.answers.push(r.success
    ? { id: r.messageId } : { code: r.error.code, message: r.error.message });
  for (const batch of job.batches) {
    try {
      const r = await messaging.sendEach(batch.messages, batch.dryRun);
      r.responses.forEach(say);
    } catch (error) {
      say({ success: false, error });
    }
  }
  out.dialled = [...dialled].sort();
  console.log(JSON.stringify(out));
  await deleteApp(app);
  process.exit(0); // connections may still be open
});
