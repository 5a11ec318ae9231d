import { inflateSync } from "node:zlib";

/** The rows of tinyParquet, as JSON has them; the second id is more than a number holds. */
export const tinyRows = [
  {
    prompt: [{ role: "user", content: "Rain?" }],
    chosen: [{ role: "assistant", content: "No." }],
    rejected: [{ role: "assistant", content: "Yes." }],
    margin: 0.5,
    id: 7,
  },
  {
    prompt: [
      { role: "system", content: "\ufeffBe brief 😀." },
      { role: "user", content: "Snow?" },
    ],
    chosen: [{ role: "assistant", content: "Never." }],
    rejected: [{ role: "assistant", content: "I", name: "x" }],
    id: 2n ** 60n,
  },
  {
    prompt: [{ role: "user", content: "Sun?" }],
    chosen: [{ role: "assistant", content: "Soon." }],
    rejected: [{ role: "assistant", content: "" }],
    margin: 2,
  },
];

/**
 * A Parquet file of these rows in two row groups, its columns in snappy, zstd, gzip and plain. Made by pyarrow 25.0.1:
 * write_table(…, row_group_size=2, store_schema=False, write_statistics=False, use_dictionary=False), then deflated.
 */
export const tinyParquet = (): Buffer => inflateSync(Buffer.from(kDeflated, "base64"));

const kDeflated = `
eNqtluFrW1UYxt+cnJ6kMcq29hxyIeoF20MdWbZkVEYpq9YyNg0ldLPMb7lNb7eM5t54b9pNmDDZhkj9ogzRUSZ+85uoCEU/iDJwg4H/
gn+AsIFShnPie85N0nvTtE3BEk5u733e33ne8z4JKb82V+DAS3w2xxleMM6yACCHCa5xGmPLjFK8XPFtj+G7/67ftOvtO1iwxK9EKse+
P/rUPP55DAKAWhkdwHXOqjlTB/Hi4Y8/Tdvmglezl8xHX3x2La+ennXcy1PayHyO0y3ci2tJUH8kXl2oVCpWhXycW3+1+M3Gie82Rgpf
05tx+G3jw68kSrBogk9Eqp/XbVAYYDM0jlezbl41MWuv2l5e71aO6LV5+RTgXlCnVzqIq+X7Nb9pOc0Y/Fz4FSuKvBgpDReo43nb9vMx
fD+DEskPR7RDpwO10sVfAlC6K/g4yyd3a35pEa4nNuHJg/dHngv6zfFj2/2L9wCCDWIJOBCDxO8EFWM8l+NkSzpcItq1XmlooGPqDEkX
c/jLoMOw/uyKM6UPohzRd5km0+b9XwZHhtbWjq+9eejPN+B1f/OJEdg/zPORUl4O76Fj4bpOXm8ys92UcT9qKjIn1JrcjBSFtRA4yPBs
RJLOhURxPZKJ3bpbWLwGCbhx4oO3WhNJ8xe2G2WF9uacGv8MjUOG+dWLdt3iKRgnGdbw3HqjiWWsNImycZqhy9gFJ+ppwl626zY2RJE+
SjLUc5ftUSjpA1M3ElXXaaKgdU8Bqxdd33b+P2DSsy/Z1aa9uBeS9YcMRI5V74hSeIPVLe9CzcFDwn9IbREEM3LGuoQsTxujDIzTrZPS
O7f31HtxIpjwRFMmz2S5mgOBSZE1JCXGvBqX+tTvwWlb5GlEfRQTd2Lyagj2ys6w4LR7mKKCoqmr8jYJgUYQBAGI7g3quCLIqoiK/DQe
Yh3akdWZWA9baW1rVW7G+7LVG9UxBkg7L87LP2iIltqvMZUF3WNJlOXdgRCKdFCEtFApjWrnRR/ztFiQt9hW2cvMkB09DfQYKd37nJiX
m11abVP8zQSVSXE3AX3HjohZMScfJEKOk7h1q3myr9wpVkXeSfbH2iV2BCeyKv9NRqOyD1AodkSUxTn512B0ujuwdo+dsnVJ3kv1ZWvP
2BFxSpyS3z4TosF+jbViR8RJMS0f90YpUu/YEYxdRf6Q7opSz9gRURQz8vazXRFVbHFrQBCMkPiEwZjZsLx3VuzmkWqjccTyPPeyiT9W
/JrrmMXx/LF8wVjHL8ydXmDhl1MZf9P9Bw+nrcY=`;
