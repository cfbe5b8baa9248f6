// The style sheet of the HTML report, light and dark, narrow and wide. Immutable.
#pragma once

#include <string_view>

namespace gguf_shard {

inline constexpr std::string_view kReportStyle = R"css(
:root{color-scheme:light dark;--bg:#fbfbfa;--card:#fff;--ink:#1d2126;--soft:#626b76;--line:#dfe3e8;
--good:#1a7f4b;--bad:#c0272d;--warn:#9a6200;--high:#7d4cc2;--normal:#2b71c7;--cold:#3d9aa1;--other:#8a929c}
@media (prefers-color-scheme:dark){:root{--bg:#14171b;--card:#1d2126;--ink:#e8eaed;--soft:#9aa4af;--line:#343a42;
--good:#46c17f;--bad:#ff6b6b;--warn:#e0a63a;--high:#b48af0;--normal:#66a8f5;--cold:#63c3cb;--other:#7d8793}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--ink);font:15px/1.5 system-ui,sans-serif;overflow-wrap:break-word}
header,main{max-width:1120px;margin:0 auto;padding:20px}
header{border-left:8px solid var(--soft);background:var(--card);margin-top:20px;border-radius:8px}
header.held{border-color:var(--good)}header.damaged,header.broken{border-color:var(--bad)}header.cancelled{border-color:var(--warn)}
header.held h1{color:var(--good)}header.damaged h1,header.broken h1{color:var(--bad)}
h1{margin:.1em 0 .3em;font-size:1.9rem;line-height:1.2}h2{font-size:1.15rem;margin:0 0 10px}h2.group::first-letter{text-transform:uppercase}
.what{margin:0;color:var(--soft)}.small{color:var(--soft);font-size:.85rem;margin:.3em 0}
.advice{border:1px solid var(--bad);border-radius:6px;padding:8px 12px}
.tiles,.key{list-style:none;display:flex;flex-wrap:wrap;gap:8px;margin:12px 0 6px;padding:0}
.tiles li{border:1px solid var(--line);border-radius:6px;padding:4px 12px;color:var(--soft)}.tiles b{font-size:1.2rem;color:var(--ink)}
section{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:16px;margin:0 0 16px}
.scroll{overflow-x:auto}.tall{max-height:30rem;overflow-y:auto}
.tall th{position:sticky;top:0;background:var(--card)}table{border-collapse:collapse;width:100%;font-size:.88rem}
th,td{text-align:left;vertical-align:top;padding:6px 10px 6px 0;border-bottom:1px solid var(--line);min-width:3.5em}
th{color:var(--soft);font-weight:600}th,.status{white-space:nowrap}td{overflow-wrap:normal}.checks td:nth-child(4){overflow-wrap:anywhere}.findings td:last-child,.checks td:nth-child(3),.checks td:nth-child(4){min-width:17em}
td.number{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}
.status{display:inline-block;border-radius:4px;padding:0 7px;border:1px solid currentColor;font-size:.8rem}
.status.passed{color:var(--good)}.status.damaged,.status.broken{color:var(--bad);font-weight:700}.status.skipped{color:var(--soft)}
summary{cursor:pointer;white-space:nowrap}code{font-size:.8rem;color:var(--soft)}
.bar{display:inline-block;width:90px;height:8px;border-radius:4px;background:var(--line);overflow:hidden}
.bar i{display:block;height:100%;background:var(--normal)}
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(290px,1fr));gap:16px}
svg{display:block;width:100%;height:auto}svg text{fill:var(--ink);font:12px system-ui,sans-serif}svg.pages{min-width:640px}
svg .title{font-weight:600;font-size:13px}svg .label,svg .tick.y{text-anchor:end;fill:var(--soft)}svg .tick.x,svg .axis{text-anchor:middle;fill:var(--soft)}
svg .grid{stroke:var(--line)}svg .line{fill:none;stroke-width:2}svg .legend{text-anchor:end}
svg .line.measured{stroke:var(--normal)}svg .dot.measured{fill:var(--normal)}svg .legend.measured{fill:var(--normal)}
svg .line.limit{stroke:var(--soft);stroke-dasharray:5 4}svg .dot.limit{fill:var(--soft)}svg .legend.limit{fill:var(--soft)}
.zone-high{fill:var(--high)}.zone-normal{fill:var(--normal)}.zone-cold{fill:var(--cold)}.zone-other{fill:var(--other)}
rect.streamed{opacity:.32}rect.damage{fill:var(--bad);stroke:var(--card);stroke-width:1}
.key li::before{content:"";display:inline-block;width:12px;height:12px;border-radius:3px;margin-right:6px;vertical-align:-1px;background:var(--c)}
.key .zone-high{--c:var(--high)}.key .zone-normal{--c:var(--normal)}.key .zone-cold{--c:var(--cold)}.key .zone-other{--c:var(--other)}.key .damage{--c:var(--bad)}
)css";

}  // namespace gguf_shard
