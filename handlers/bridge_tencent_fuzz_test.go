package handlers

import (
	"os"
	"path/filepath"
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
	f.Fuzz(func(t *testing.T, below, sig string, body []byte) {
		readUserSig(sig)
		r := timREST(t, below, body)
		in, err := tencentIM{}.parse(r)
		if err != nil {
			if e := apiErrorOf(err); e.status < 400 || e.status > 499 {
				t.Fatalf("input answered with %d: %v", e.status, err)
			}
			return
		}
		checkIntake(t, in)
		if call, ok := in.extra.(*timCall); ok && (call.toAll || call.toGroup != "") {
			if len(in.messages) > 0 {
				t.Fatal("addressed before the members are known")
			}
			all := intake{}
			addressAll(&all, &call.base, []string{"member", call.base.Sender})
			checkIntake(t, all)
		}
	})
}
