'use strict';
// Pushes through @parse/node-apn as told on standard input and prints, as JSON, what
// that client makes of the answers.
const apn = require('@parse/node-apn');

let input = '';
process.stdin.on('data', (d) => { input += d; });
process.stdin.on('end', async () => {
  const job = JSON.parse(input);
  const provider = new apn.Provider({
    token: { key: job.key, keyId: job.keyId, teamId: job.teamId },
    ca: job.ca, address: job.host, port: job.port, production: false,
  });
  const out = { sent: [], failed: [] };
  for (const p of job.pushes) {
    const n = new apn.Notification();
    n.topic = p.topic;
    n.pushType = 'alert';
    n.alert = { title: p.title, body: p.body };
    n.badge = 3;
    n.sound = 'default';
    n.threadId = 'conversation-1';
    n.collapseId = 'conversation-1';
    n.expiry = 0;
    n.payload = { custom: { from: 'node-apn' } };
    const r = await provider.send(n, p.tokens);
    out.sent.push(...r.sent.map((s) => s.device));
    out.failed.push(...r.failed.map((f) => ({
      device: f.device, status: f.status, reason: f.response && f.response.reason,
      timestamp: f.response && f.response.timestamp, error: f.error && String(f.error),
    })));
  }
  console.log(JSON.stringify(out));
  await provider.shutdown();
});
