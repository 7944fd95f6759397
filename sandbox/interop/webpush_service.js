'use strict';
// Runs the push service of web-push-testing on a free loopback port, prints the port,
// and ends when its standard input does.
const WebPushTestingServer = require('web-push-testing/src/server');
const { PushApiModel } = require('web-push-testing/src/PushApiModel');

const log = console.log;
console.log = () => {}; // it tells of itself; only the port goes out
const service = new WebPushTestingServer(new PushApiModel(), 0);
// Left alone it listens on every address of the machine.
const listen = service._app.listen.bind(service._app);
service._app.listen = (port, done) => listen(port, '127.0.0.1', done);
service.startServer();
service._server.on('listening', () => log(service._server.address().port));
process.stdin.on('end', () => process.exit(0));
process.stdin.resume();
