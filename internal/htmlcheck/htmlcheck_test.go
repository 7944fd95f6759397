package htmlcheck

import (
	"strings"
	"testing"
)

const good = `<!doctype html><html lang="en"><head><title>T</title></head><body><main><h1>H</h1>%s</main></body></html>`

func TestPage(t *testing.T) {
	tests := []struct{ name, inside, want string }{
		{"nothing wrong", `<label for="a">A</label><input id="a" name="a" aria-describedby="b"><p id="b">x</p>`, ""},
		{"input without label", `<input name="q">`, "has no label"},
		{"label for nothing", `<label for="z">A</label>`, "which is not there"},
		{"inline style", `<p style="color:red">x</p>`, "inline style"},
		{"inline handler", `<p onclick="x()">x</p>`, "inline onclick"},
		{"inline script", `<script>x()</script>`, "inline script"},
		{"id twice", `<p id="a">x</p><p id="a">y</p>`, "stands 2 times"},
		{"nameless button", `<button><svg aria-hidden="true"></svg></button>`, "has no name"},
		{"not closed", `<div><p>x</div></p>`, "closes"},
		{"two h1", `<h1>again</h1>`, "2 h1"},
		{"heading gap", `<h3>deep</h3>`, "follows an h1"},
		{"described by nothing", `<p aria-describedby="z">x</p>`, "names \"z\""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := strings.Join(Page([]byte(strings.Replace(good, "%s", tt.inside, 1))), "; ")
			if tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestChinese(t *testing.T) {
	body := `<html lang="en"><body><p>fine</p><p title="标题">文字</p><button lang="zh-CN">中文</button></body></html>`
	if got := strings.Join(Chinese([]byte(body)), "|"); got != "title=标题|文字" {
		t.Errorf("got %q", got)
	}
}
