'use strict';
// Sends through web-push as told on standard input and prints, as JSON, what that client
// makes of the answers.
const https = require('node:https');
const webpush = require('web-push');

let input = '';
process.stdin.on('data', (d) => { input += d; });
process.stdin.on('end', async () => {
  const job = JSON.parse(input);
  const agent = new https.Agent({ ca: job.ca });
  const out = [];
  for (const p of job.pushes) {
    try {
      const r = await webpush.sendNotification(JSON.parse(p.subscription), p.text, {
        vapidDetails: { subject: job.subject, publicKey: job.publicKey, privateKey: job.privateKey },
        TTL: p.ttl, urgency: p.urgency || 'normal', topic: p.topic || undefined, contentEncoding: 'aes128gcm', agent,
      });
      out.push({ status: r.statusCode, location: r.headers.location });
    } catch (error) {
      out.push({ status: error.statusCode || 0, error: error.statusCode ? '' : String(error) });
    }
  }
  console.log(JSON.stringify(out));
  agent.destroy();
});
