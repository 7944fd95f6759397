package handlers

// arktsSnippet is for HarmonyOS NEXT. ArkTS takes an object literal only where a type is
// declared for it.
func arktsSnippet(signed bool) snippet {
	return snippet{
		base: `import { http } from '@kit.NetworkKit';

export interface Route { channel: string; package?: string; token: string }
export interface Registration {
  routes: Route[]; brand: string; model: string; os_version: string; notifications: boolean;
}
export interface Binding { account: string; time?: number; signature?: string }
export interface Receipt { message_id: string; status: string }
export interface Receipts { receipts: Receipt[] }

export class Hongyan {
  static readonly server: string = '{{SERVER}}/device/v1/';
  static token: string = ''; // keep both in the asset store
  static secret: string = '';

  static async call(path: string, body: Object): Promise<Record<string, string>> {
    const header: Record<string, string> = {
      'Content-Type': 'application/json', 'X-Access-ID': '{{ACCESS_ID}}', 'X-Access-Key': '{{ACCESS_KEY}}'
    };
    if (Hongyan.token) {
      header['X-Device-Token'] = Hongyan.token;
      header['X-Device-Secret'] = Hongyan.secret;
    }
    const request = http.createHttp();
    try {
      const r = await request.request(Hongyan.server + path, {
        method: http.RequestMethod.POST, header: header, extraData: JSON.stringify(body)
      });
      if (r.responseCode === 401) { Hongyan.token = ''; Hongyan.secret = ''; }
      if (r.responseCode >= 300) { throw new Error('hongyan: ' + r.responseCode); }
      return JSON.parse((r.result as string) || '{}') as Record<string, string>;
    } finally {
      request.destroy();
    }
  }
}`,
		register: `import { pushService } from '@kit.PushKit';
import { deviceInfo } from '@kit.BasicServicesKit';
import { notificationManager } from '@kit.NotificationKit';

// In the UIAbility's onCreate.
export async function register(): Promise<void> {
  const route: Route = { channel: 'harmony', package: '{{PACKAGE}}', token: await pushService.getToken() };
  const body: Registration = {
    routes: [route], brand: deviceInfo.brand, model: deviceInfo.productModel, os_version: deviceInfo.displayVersion,
    notifications: notificationManager.isNotificationEnabledSync()
  };
  const r = await Hongyan.call('register', body);
  Hongyan.token = r['device_token'];
  if (r['device_secret']) { Hongyan.secret = r['device_secret']; } // the first time only
}`,
		bind: pick(signed, `// signature and time come from your own server, which knows who is logged in.
const s = await myServer.bindSignature(Hongyan.token);
const binding: Binding = { account: s.account, time: s.time, signature: s.signature };
await Hongyan.call('accounts/bind', binding);`,
			`// After login. The account is the user's id in your IM.
const binding: Binding = { account: userId };
await Hongyan.call('accounts/bind', binding);`) + `

// At logout, or the next person on this phone sees the messages of the last one.
const leaving: Binding = { account: userId };
await Hongyan.call('accounts/unbind', leaving);`,
		receipt: `// In the UIAbility's onCreate and onNewWant: hy_mid is in the push's data.
const id = want.parameters?.['hy_mid'] as string | undefined;
if (id) {
  const receipt: Receipt = { message_id: id, status: 'clicked' }; // or arrived, cleared
  const receipts: Receipts = { receipts: [receipt] };
  await Hongyan.call('receipts', receipts);
}`,
	}
}
