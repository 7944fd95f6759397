package handlers

import (
	"bytes"
	"compress/zlib"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func FuzzTencent(f *testing.F) {
	files, err := filepath.Glob("testdata/tencent/*.json")
	if err != nil || len(files) == 0 {
		f.Fatal("no fixtures", err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		for _, command := range []string{"", timSendMsg, timBatch, timSendGroup, timAll, timGroupAdd} {
			f.Add(command, "", b)
		}
	}
	f.Add("", "eJw", []byte("{\"CallbackCommand\":\"C2C.CallbackAfterSendMsg\",\"To_Account\":\"\xff\",\"MsgBody\":[null,[],{\"MsgType\":\"TIMTextElem\",\"MsgContent\":\"\xfe\"}]}"))
	f.Add(timSendMsg, "", []byte(`{"To_Account":[1,"",null],"MsgRandom":1e400,"MsgLifeTime":99999999999999999999,"MsgBody":[{}],"OfflinePushInfo":[]}`))
	hostileSeeds(f, tencentIM{}, "rest_all", func(body []byte) { f.Add(timAll, "", body) })
	hostileSeeds(f, tencentIM{}, "rest_group", func(body []byte) { f.Add(timSendGroup, "", body) })
	hostileSeeds(f, tencentIM{}, "rest_new", func(body []byte) { f.Add(timSendMsg, "", body) })
	f.Fuzz(func(t *testing.T, below, sig string, body []byte) {
		readUserSig(sig)
		checkParse(t, tencentIM{}, timREST(t, below, body))
	})
}

// FuzzTencentCallback gives any command any body, signed and not.
func FuzzTencentCallback(f *testing.F) {
	for _, file := range []string{"c2c", "group", "group_join", "push_result", "read", "state_login", "withdraw"} {
		f.Add("", "iOS", fixture(f, "tencent/"+file+".json"))
	}
	for _, file := range []string{"c2c", "group_join", "state_login"} {
		hostileSeeds(f, tencentIM{}, file, func(body []byte) { f.Add("", "Android", body) })
	}
	f.Add("C2C.CallbackBeforeSendMsg", "\xff", []byte("{"))
	f.Add(timGroupExit, "", []byte(`{"GroupId":"g","ExitMemberList":[{"Member_Account":9007199254740993},null]}`))
	f.Fuzz(func(t *testing.T, command, platform string, body []byte) {
		checkParse(t, tencentIM{}, timCallback(body, "CallbackCommand", command, "OptPlatform", platform))
	})
}

// FuzzUserSig reads signatures, which are compressed.
func FuzzUserSig(f *testing.F) {
	f.Add(timQuery(f, testIngestSecret, testSDKAppID, testNow()).Get("usersig"))
	f.Add("eJw")
	var bomb bytes.Buffer
	z := zlib.NewWriter(&bomb)
	_, _ = z.Write(bytes.Repeat([]byte(" "), 1<<20)) // a buffer takes everything
	_ = z.Close()
	f.Add(strings.NewReplacer("+", "*", "/", "-", "=", "_").Replace(base64.StdEncoding.EncodeToString(bomb.Bytes())))
	f.Fuzz(func(t *testing.T, sig string) {
		before := allocated()
		u, ok := readUserSig(sig)
		if used := allocated() - before; used > 1<<20 {
			t.Fatalf("%d bytes were allocated for a signature of %d", used, len(sig))
		}
		r := timREST(t, timSendMsg, nil)
		r.query.Set("usersig", sig)
		if err := timCheckUserSig(r); err == nil && (!ok || u.Identifier == "" || u.Sig != u.sign(testIngestSecret)) {
			t.Fatal("a forged signature was taken")
		}
	})
}
